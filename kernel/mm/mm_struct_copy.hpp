#pragma once
// MmStruct: moving bytes between kernel and user memory. Included by mm_struct.hpp behind the class.

namespace faultline {

template <class P>
template <class F>
Result<> MmStruct<P>::for_user_pages(Va start, std::size_t size, Access access, F&& f) {
  if (size > kUserEnd - start.value()) return failure(KernelError::BadAddress);
  std::size_t done = 0;
  // False at a page that is not to be had.
  const auto visit = [&] {
    ReadGuard guard(lock_);
    while (done < size) {
      const Va at = start + done;
      const std::optional<UserPage> page = pager_.get_user_page(*table_, at, access);
      if (!page) return false;
      const std::size_t part = std::min(kPageSize - at.page_offset(), size - done);
      // f says whether it wants more.
      if (!f(page->page.data() + at.page_offset(), done, part)) break;
      done += part;
    }
    return true;
  };
  while (!visit()) TRY(make_accessible(start + done, access));
  return {};
}

template <class P>
[[gnu::noinline]] Result<> MmStruct<P>::make_accessible(Va va, Access access) {
  const Result<> made = handle_page_fault({va, access});
  if (made) return {};
  return failure(made.error() == KernelError::OutOfMemory ? KernelError::OutOfMemory
                                                          : KernelError::BadAddress);
}

template <class P>
Result<> MmStruct<P>::copy_in(std::span<std::byte> to, Va from) {
  return for_user_pages(from, to.size(), Access::Read,
                        [&](std::byte* user, std::size_t done, std::size_t part) {
                          std::memcpy(to.data() + done, user, part);
                          return true;
                        });
}

template <class P>
Result<> MmStruct<P>::copy_out(Va to, std::span<const std::byte> from) {
  return for_user_pages(to, from.size(), Access::Write,
                        [&](std::byte* user, std::size_t done, std::size_t part) {
                          std::memcpy(user, from.data() + done, part);
                          return true;
                        });
}

template <class P>
Result<> MmStruct<P>::zero_out(VaRange range) {
  return for_user_pages(range.start(), range.size(), Access::Write,
                        [](std::byte* user, std::size_t, std::size_t part) {
                          std::memset(user, 0, part);
                          return true;
                        });
}

template <class P>
Result<std::size_t> MmStruct<P>::copy_string_in(std::span<char> to, Va from) {
  std::optional<std::size_t> length;
  // A string may end just below the end of the user half: no more than that is looked at.
  const std::size_t limit = std::min<std::size_t>(to.size(), kUserEnd - from.value());
  TRY(for_user_pages(from, limit, Access::Read,
                     [&](const std::byte* user, std::size_t done, std::size_t part) {
                       for (std::size_t i = 0; i < part; ++i) {
                         const char character = static_cast<char>(user[i]);
                         to[done + i] = character;
                         if (character == 0) {
                           length = done + i;
                           return false;
                         }
                       }
                       return true;
                     }));
  if (length) return *length;
  return failure(limit < to.size() ? KernelError::BadAddress : KernelError::NameTooLong);
}

template <class P>
std::optional<std::uint32_t> MmStruct<P>::try_load_word(Va va) const noexcept {
  if (va.value() % sizeof(std::uint32_t) != 0) return std::nullopt;
  const std::optional<HartId> reading = lock_.try_lock_shared();
  if (!reading) return std::nullopt;
  const ReadGuard guard(lock_, *reading);
  const std::optional<EntryRef> found = table_->find(va.page());
  if (!found) return std::nullopt;
  // Under the table's lock the page can neither be replaced nor freed.
  const LockedEntry entry = found->lock();
  if (!entry.get().allows(Access::Read)) return std::nullopt;
  std::byte* const word = PageRef::from_pa(entry.get().pa()).data() + va.page_offset();
  return std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(word)).load();
}

template <class P>
Result<bool> MmStruct<P>::compare_exchange_word(Va va, std::uint32_t& expected, std::uint32_t desired) {
  if (va.value() % sizeof(std::uint32_t) != 0) return failure(KernelError::InvalidArgument);
  return get_user_page_and(va, Access::Write, [&](const UserPage& page) {
    std::byte* const word = page.page.data() + va.page_offset();
    return std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(word))
        .compare_exchange_strong(expected, desired);
  });
}

}  // namespace faultline
