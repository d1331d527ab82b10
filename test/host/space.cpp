#include "test/host/space.hpp"

namespace faultline {
#define INSTANTIATE(P) template class MmStruct<P>
FAULTLINE_PAGERS(INSTANTIATE, ;);
#undef INSTANTIATE
}  // namespace faultline

namespace faultline::sim {
namespace {

/// The user half of a page table, entry by entry. A and D are the harts' and left out.
void dump_table(std::string& out, Pa table, unsigned level, std::uint64_t first_page) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(platform::frame_bytes(table));
  const std::size_t count = level == kTableLevels - 1 ? kEntriesPerTable / 2 : kEntriesPerTable;
  for (std::size_t i = 0; i < count; ++i) {
    const Pte entry(words[i] & ~(Pte::kAccessed | Pte::kDirty));
    if (entry.is_empty()) continue;
    const std::uint64_t page = first_page + (i << (9 * level));
    out += text("entry ", hex(page << kPageShift), " level ", level, ": ", hex(entry.raw()), "\n");
    if (entry.is_table()) dump_table(out, entry.pa(), level - 1, page);
  }
}

}  // namespace

std::string layout(const AreaIndex& areas, const PageTable& table) {
  std::string out;
  areas.check();
  for (const VmArea* area = areas.first(); area != nullptr; area = AreaIndex::next(*area)) {
    const Permission permission = area->permission();
    out += text("area ", hex(area->start()), " ", hex(area->end()), " ", permission.readable(),
                permission.writable(), permission.executable(), " ", area->is_shared(), " ",
                area->is_anonymous(), " index ", area->page_index(area->start()), " mapping ",
                area->mapping(), "\n");
  }
  dump_table(out, table.space().root(), kTableLevels - 1, 0);
  return out;
}

std::string snapshot(World& world, const AreaIndex& areas, const PageTable& table) {
  return text(world.frames_used(), " frames, ", world.objects_used(), " objects\n", layout(areas, table));
}

#define INSTANTIATE(P)       \
  template class Process<P>; \
  template class Child<P>
FAULTLINE_PAGERS(INSTANTIATE, ;);
#undef INSTANTIATE

}  // namespace faultline::sim
