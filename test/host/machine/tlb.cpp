#include "test/host/machine/tlb.hpp"

namespace faultline::sim {

void Tlb::count(const TlbEntry& entry, int change) {
  if (entry.kind == TlbEntry::Kind::Leaf && entry.level > 0)
    large_leaves_ += static_cast<std::size_t>(change);
  if (arena_.contains(entry.frame)) arena_.cached_translations(entry.frame).fetch_add(change);
}

TlbEntry* Tlb::find_result(Asid asid, std::uint64_t page) {
  for (unsigned level = large_leaves_ > 0 ? 2 : 0;; --level) {
    if (auto found = entries_.find(key(asid, page, level, false)); found != entries_.end())
      return &found->second;
    if (level == 0) return nullptr;
  }
}

TlbEntry* Tlb::find_table(Asid asid, std::uint64_t page, unsigned level) {
  auto found = entries_.find(key(asid, page, level, true));
  return found == entries_.end() ? nullptr : &found->second;
}

void Tlb::insert(const TlbEntry& entry) {
  if (entries_.try_emplace(key_of(entry), entry).second) count(entry, 1);
}

void Tlb::erase(const TlbEntry& entry) {
  const TlbEntry copy = entry;
  if (entries_.erase(key_of(copy)) > 0) count(copy, -1);
}

std::vector<std::uint64_t> Tlb::fence(const FenceScope& scope) {
  std::vector<std::uint64_t> pages;
  auto drop = [&](decltype(entries_)::iterator position) {
    const TlbEntry entry = position->second;
    if (entry.kind != TlbEntry::Kind::Table) pages.push_back(entry.first_page);
    count(entry, -1);
    return entries_.erase(position);
  };
  if (scope.range && large_leaves_ == 0 && scope.range->pages() <= entries_.size()) {
    const std::uint64_t first = scope.range->start().value() >> kPageShift;
    for (std::uint64_t page = first; page < first + scope.range->pages(); ++page) {
      if (auto found = entries_.find(key(scope.asid, page, 0, false)); found != entries_.end()) drop(found);
    }
    return pages;
  }
  for (auto position = entries_.begin(); position != entries_.end();) {
    const TlbEntry& entry = position->second;
    bool covered = entry.asid == scope.asid;
    if (covered && scope.range) {
      const unsigned level = entry.kind == TlbEntry::Kind::NotValid ? 0 : entry.level;
      const std::uint64_t first = scope.range->start().value() >> kPageShift;
      const std::uint64_t last = first + scope.range->pages();
      covered = entry.kind != TlbEntry::Kind::Table && entry.first_page < last &&
                first < entry.first_page + (std::uint64_t{1} << (9 * level));
    }
    position = covered ? drop(position) : std::next(position);
  }
  return pages;
}

void Tlb::clear() {
  for (const auto& [key, entry] : entries_) count(entry, -1);
  entries_.clear();
}

void Tlb::evict(std::uint64_t random) {
  for (auto position = entries_.begin(); position != entries_.end();) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    if (random >> 63) {
      count(position->second, -1);
      position = entries_.erase(position);
    } else {
      ++position;
    }
  }
}

}  // namespace faultline::sim
