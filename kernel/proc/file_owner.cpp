#include "kernel/proc/file_owner.hpp"

#include "kernel/proc/process_table.hpp"
#include "kernel/proc/signal.hpp"

namespace faultline {

namespace {

using Kind = FileOwnerName::Kind;

// The identifier keeps the number from being given to somebody else.
class Owner final : public FileOwner {
 public:
  Owner(Kind kind, Identifier identifier, const ProcessCredentials& credentials)
      : kind_(kind),
        identifier_(std::move(identifier)),
        user_(credentials.user),
        effective_user_(credentials.effective_user) {}

  FileOwnerName name() const override {
    const SpinGuard guard(process_lock);
    const ProcessId id = identifier_.value();
    const bool exists = kind_ == Kind::Group     ? process_table.find_group(id) != nullptr
                        : kind_ == Kind::Process ? process_table.find(id) != nullptr
                                                 : process_table.find_thread(id) != nullptr;
    return {.kind = kind_, .id = exists ? id : 0};
  }

  void tell(const FileNotice& notice) const override {
    const SpinGuard guard(process_lock);
    const ProcessId id = identifier_.value();
    if (kind_ == Kind::Group) {
      ProcessGroup* const group = process_table.find_group(id);
      if (group == nullptr) return;
      for (Process& member : group->members) send_to(member, member, notice, guard);
    } else if (kind_ == Kind::Process) {
      if (Process* const process = process_table.find(id)) send_to(*process, *process, notice, guard);
    } else if (UserThread* const thread = process_table.find_thread(id)) {
      send_to(*thread->process, *thread, notice, guard);
    }
  }

 private:
  bool may_tell(const ProcessCredentials& its) const {
    return effective_user_ == 0 || effective_user_ == its.user || effective_user_ == its.saved_user ||
           user_ == its.user || user_ == its.saved_user;
  }

  // Where the signal that was asked for does not fit into the queue, SIGIO says that something was lost.
  template <class Target>
  void send_to(const Process& process, Target& target, const FileNotice& notice,
               const SpinGuard& proof) const {
    if (!may_tell(process.credentials)) return;
    if (notice.signal != 0 && signals::send(target, signals::from_file(notice), proof)) return;
    (void)signals::send(target, signals::from_kernel(Signal::Io), proof);
  }

  Kind kind_;
  Identifier identifier_;
  std::uint32_t user_, effective_user_;
};

Result<Identifier> identifier_of(FileOwnerName name, const SpinGuard&) {
  if (name.kind == Kind::Group) {
    if (const ProcessGroup* const group = process_table.find_group(name.id)) return group->identifier.share();
  } else if (const Process* const process = process_table.find(name.id)) {
    return process->identifier.share();
  } else if (const UserThread* const thread = process_table.find_thread(name.id)) {
    if (thread->identifier) return thread->identifier->share();
  }
  return failure(KernelError::NoSuchProcess);
}

}  // namespace

Result<Ref<FileOwner>> make_file_owner(FileOwnerName name) {
  if (name.id == 0) return Ref<FileOwner>();
  std::optional<Identifier> identifier;
  {
    const SpinGuard guard(process_lock);
    identifier = TRY(identifier_of(name, guard));
  }
  return TRY(make_ref<Owner>(name.kind, *std::move(identifier), Process::current().credentials));
}

}  // namespace faultline
