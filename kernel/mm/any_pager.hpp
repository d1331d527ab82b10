#pragma once
// AnyPager: each address space has one of the pagers of mm/pagers.hpp, chosen when it is made (make
// PAGER=any).
//
// Every call asks which one it is. A kernel that is built with a single pager has none of this.

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <variant>

#include "kernel/mm/pagers.hpp"

namespace faultline {

/// Members as the concept Pager says; the policy in use says what differs.
class AnyPager {
#define FAULTLINE_TYPE(type) type
#define FAULTLINE_TRAITS(type) &type::kTraits
#define FAULTLINE_COMMA ,
  using Policy = std::variant<FAULTLINE_PAGERS(FAULTLINE_TYPE, FAULTLINE_COMMA)>;
  static constexpr auto kChoices =
      std::to_array<const PagerTraits*>({FAULTLINE_PAGERS(FAULTLINE_TRAITS, FAULTLINE_COMMA)});
#undef FAULTLINE_COMMA
#undef FAULTLINE_TRAITS
#undef FAULTLINE_TYPE

  // The alternatives in turn rather than std::visit, which may throw.
  template <std::size_t kIndex = 0>
  static decltype(auto) dispatch(auto& policy, auto&& call) {
    if constexpr (kIndex + 1 < std::variant_size_v<Policy>) {
      if (policy.index() != kIndex) return dispatch<kIndex + 1>(policy, call);
    }
    return call(*std::get_if<kIndex>(&policy));
  }
  decltype(auto) with_policy(auto&& call) { return dispatch(policy_, call); }
  decltype(auto) with_policy(auto&& call) const { return dispatch(policy_, call); }

 public:
  /// What holds for all of them; traits() has the promises of the policy in use.
  static constexpr PagerTraits kTraits{.name = "any"};

  /// The policies to choose from, the default first.
  static std::span<const PagerTraits* const> choices() { return kChoices; }

  AnyPager() = default;
  /// The policy at a place in choices().
  explicit AnyPager(std::size_t choice) { choose(choice); }

  const PagerTraits& traits() const { return *kChoices[policy_.index()]; }

  [[nodiscard]] Result<VaRange> mmap(PageTable& table, auto&&... how) {
    return with_policy([&](auto& policy) { return policy.mmap(table, how...); });
  }
  /// `what`: a mapping's first address, or a range.
  [[nodiscard]] Result<std::size_t> munmap(PageTable& table, auto what) {
    return with_policy([&](auto& policy) { return policy.munmap(table, what); });
  }
  [[nodiscard]] Result<> protect(PageTable& table, VaRange range, Permission permission) {
    return with_policy([&](auto& policy) { return policy.protect(table, range, permission); });
  }
  [[nodiscard]] Result<> advise(PageTable& table, VaRange range, Advice advice) {
    return with_policy([&](auto& policy) { return policy.advise(table, range, advice); });
  }
  [[nodiscard]] Result<VaRange> move(PageTable& table, VaRange from, Va to, std::size_t size) {
    return with_policy([&](auto& policy) { return policy.move(table, from, to, size); });
  }
  [[nodiscard]] Result<> grow_down(PageTable& table, VmArea& area, Va start) {
    return with_policy([&](auto& policy) { return policy.grow_down(table, area, start); });
  }
  [[nodiscard]] std::optional<UserPage> get_user_page(PageTable& table, Va va, Access access) {
    return with_policy([&](auto& policy) { return policy.get_user_page(table, va, access); });
  }
  [[nodiscard]] Result<> handle_page_fault(PageTable& table, const PageFaultReason& reason) {
    return with_policy([&](auto& policy) { return policy.handle_page_fault(table, reason); });
  }
  /// The child has the same policy.
  [[nodiscard]] Result<AnyPager> fork(PageTable& table, PageTable& child_table) {
    return with_policy([&](auto& policy) -> Result<AnyPager> {
      return AnyPager(Policy(TRY(policy.fork(table, child_table))));
    });
  }
  void clear(PageTable& table) {
    with_policy([&](auto& policy) { policy.clear(table); });
  }
  [[nodiscard]] Result<> synchronize(PageTable& table, VaRange range) {
    return with_policy([&](auto& policy) { return policy.synchronize(table, range); });
  }
  [[nodiscard]] Result<> change_flags(VaRange range, AreaFlags given, AreaFlags taken) {
    return with_policy([&](auto& policy) { return policy.change_flags(range, given, taken); });
  }
  void forbid_write(VaRange range) {
    with_policy([&](auto& policy) { policy.forbid_write(range); });
  }
  [[nodiscard]] bool access_ok(Va va, Access access) const {
    return with_policy([&](const auto& policy) { return policy.access_ok(va, access); });
  }
  const AreaIndex& areas() const {
    return with_policy([](const auto& policy) -> const AreaIndex& { return policy.areas(); });
  }

 private:
  explicit AnyPager(Policy policy) noexcept : policy_(std::move(policy)) {}

  template <std::size_t kIndex = 0>
  void choose(std::size_t choice) {
    if constexpr (kIndex < std::variant_size_v<Policy>) {
      if (choice != kIndex) return choose<kIndex + 1>(choice);
      policy_.emplace<kIndex>();
    }
  }

  Policy policy_;
};

static_assert(Pager<AnyPager>);

}  // namespace faultline
