#include "kernel/proc/access.hpp"

namespace faultline::access {

bool may_inspect(const Process& target, Identity identity) {
  const Process& self = Process::current();
  if (&target == &self) return true;
  const ProcessCredentials& own = self.credentials;
  if (own.privileged()) return true;
  const std::uint32_t user = identity == Identity::Real ? own.user : own.effective_user;
  const std::uint32_t group = identity == Identity::Real ? own.group : own.effective_group;
  const ProcessCredentials& its = target.credentials;
  const bool same = user == its.user && user == its.effective_user && user == its.saved_user &&
                    group == its.group && group == its.effective_group && group == its.saved_group;
  return same && target.dumpable;
}

bool may_schedule(const Process& target) {
  const ProcessCredentials& own = Process::current().credentials;
  return own.privileged() || own.effective_user == target.credentials.user ||
         own.effective_user == target.credentials.effective_user;
}

bool may_signal(const Process& target, std::optional<Signal> signal) {
  const Process& self = Process::current();
  const ProcessCredentials& own = self.credentials;
  const ProcessCredentials& its = target.credentials;
  if (own.privileged() || own.effective_user == its.user || own.effective_user == its.saved_user ||
      own.user == its.user || own.user == its.saved_user) {
    return true;
  }
  return signal == Signal::Continue && target.group->session == self.group->session;
}

}  // namespace faultline::access
