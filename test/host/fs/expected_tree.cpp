#include "test/host/fs/expected_tree.hpp"

#include <algorithm>

#include "kernel/mm/page_cache.hpp"

namespace faultline::sim {

// --- The tree ---

ExpectedTree ExpectedTree::of(Mounted& disk) {
  ExpectedTree tree;
  std::map<std::uint64_t, NodeRef> by_inode;
  tree.add_directory(disk, "", by_inode);
  return tree;
}

void ExpectedTree::add_directory(Mounted& disk, const std::string& path,
                                 std::map<std::uint64_t, NodeRef>& by_inode) {
  const auto names = disk.list(path.empty() ? "/" : path);
  REQUIRE_MESSAGE(names.has_value(), "cannot list ", path);
  std::uint32_t subdirectories = 0;
  for (const std::string& name : *names) {
    if (name == "." || name == "..") continue;
    const std::string child = path + "/" + name;
    const Stat stat = disk.stat(child);
    const FileKind kind = *mode::kind_of(stat.mode);
    NodeRef& node = by_inode[stat.inode];
    if (!node) {
      Result<std::string> contents;
      if (kind == FileKind::Regular) contents = disk.read(child, 0, stat.size + 1);
      if (kind == FileKind::SymbolicLink) contents = disk.readlink(child);
      REQUIRE_MESSAGE(contents.has_value(), "cannot read ", child);
      if (kind != FileKind::Directory) CHECK(contents->size() == stat.size);
      node = std::make_shared<const Node>(Node{kind, *contents});
    }
    nodes_[child] = node;
    if (kind != FileKind::Directory) continue;
    ++subdirectories;
    add_directory(disk, child, by_inode);
  }
  CHECK(disk.stat(path.empty() ? "/" : path).links == 2 + subdirectories);
  if (!path.empty()) return;
  for (const auto& [name, node] : nodes_) {
    if (node->kind != FileKind::Directory)
      CHECK_MESSAGE(disk.stat(name).links == node.use_count() - 1, "links of ", name);
  }
}

bool operator==(const ExpectedTree& a, const ExpectedTree& b) {
  std::map<const ExpectedTree::Node*, const ExpectedTree::Node*> partners, back;
  return std::ranges::equal(a.nodes_, b.nodes_, [&](const auto& x, const auto& y) {
    if (x.first != y.first || x.second->kind != y.second->kind || x.second->contents != y.second->contents)
      return false;
    const auto* p = partners.try_emplace(x.second.get(), y.second.get()).first->second;
    const auto* q = back.try_emplace(y.second.get(), x.second.get()).first->second;
    return p == y.second.get() && q == x.second.get();
  });
}

std::string ExpectedTree::text() const {
  std::string text;
  for (const auto& [path, node] : nodes_) {
    text += path + " kind " + std::to_string(static_cast<int>(node->kind)) + " size " +
            std::to_string(node->contents.size()) + " hash " +
            std::to_string(std::hash<std::string>()(node->contents) % 10'000) + "\n";
  }
  return text;
}

bool ExpectedTree::is(const std::string& path, FileKind kind) const {
  const auto found = nodes_.find(path);
  return found != nodes_.end() && found->second->kind == kind;
}

bool ExpectedTree::has_directory_of(const std::string& path) const {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || is(path.substr(0, slash), FileKind::Directory);
}

bool ExpectedTree::is_empty_directory(const std::string& path) const {
  return is(path, FileKind::Directory) &&
         std::ranges::none_of(nodes_, [&](const auto& entry) { return entry.first.starts_with(path + "/"); });
}

void ExpectedTree::replace(const std::string& path, std::string contents) {
  const NodeRef old = nodes_.at(path);
  const auto fresh = std::make_shared<const Node>(Node{old->kind, std::move(contents)});
  for (auto& [name, node] : nodes_)
    if (node == old) node = fresh;
}

bool ExpectedTree::make(const std::string& path, FileKind kind, std::string contents) {
  if (!has_directory_of(path) || nodes_.contains(path)) return false;
  nodes_[path] = std::make_shared<const Node>(Node{kind, std::move(contents)});
  return true;
}

bool ExpectedTree::write(const std::string& path, std::size_t offset, std::string_view bytes) {
  if (!is(path, FileKind::Regular)) return false;
  std::string contents = nodes_[path]->contents;
  if (contents.size() < offset + bytes.size()) contents.resize(offset + bytes.size());
  contents.replace(offset, bytes.size(), bytes);
  replace(path, std::move(contents));
  return true;
}

bool ExpectedTree::truncate(const std::string& path, std::size_t size) {
  if (!is(path, FileKind::Regular)) return false;
  std::string contents = nodes_[path]->contents;
  contents.resize(size);
  replace(path, std::move(contents));
  return true;
}

bool ExpectedTree::link(const std::string& old_path, const std::string& path) {
  if (!nodes_.contains(old_path) || is(old_path, FileKind::Directory)) return false;
  if (!has_directory_of(path) || nodes_.contains(path)) return false;
  nodes_[path] = nodes_[old_path];
  return true;
}

bool ExpectedTree::unlink(const std::string& path) {
  if (!nodes_.contains(path) || is(path, FileKind::Directory)) return false;
  nodes_.erase(path);
  return true;
}

bool ExpectedTree::remove_directory(const std::string& path) {
  if (!is_empty_directory(path)) return false;
  nodes_.erase(path);
  return true;
}

bool ExpectedTree::rename(const std::string& from, const std::string& to) {
  if (!nodes_.contains(from) || !has_directory_of(to) || to.starts_with(from + "/")) return false;
  if (from == to) return true;
  if (nodes_.contains(to)) {
    if (is(from, FileKind::Directory) ? !is_empty_directory(to) : is(to, FileKind::Directory)) return false;
    if (nodes_[from] == nodes_[to]) return true;  // two names of one file stay both
    nodes_.erase(to);
  }
  std::map<std::string, NodeRef> renamed;
  for (auto& [path, node] : nodes_) {
    const bool moves = path == from || path.starts_with(from + "/");
    renamed[moves ? to + path.substr(from.size()) : path] = node;
  }
  nodes_ = std::move(renamed);
  return true;
}

// --- Operations ---

namespace {

// No two places of two texts look alike, so that a block that stands in a wrong place is seen.
std::string pattern(std::size_t size, unsigned salt) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>('a' + (i * 7 + i / 1024 * 3 + salt) % 26);
  return text;
}

Result<std::size_t> without_size(const Result<>& result) {
  if (!result) return failure(result.error());
  return 0;
}

// The perform and effect of a call that returns no number.
template <class Perform, class Effect>
Operation simple(std::string name, Perform perform, Effect effect) {
  return {std::move(name), [=](Mounted& disk) { return without_size(perform(disk)); },
          [=](ExpectedTree& tree, std::size_t) { return effect(tree); }};
}

using Path = const std::string&;

Operation create(Path path) {
  return simple(
      "create " + path,
      [=](Mounted& disk) {
        return disk.with_context([&](const PathContext& context) -> Result<> {
          TRY(create_path(context, path, {.kind = FileKind::Regular, .permissions = 0644}));
          return {};
        });
      },
      [=](ExpectedTree& tree) { return tree.make(path, FileKind::Regular); });
}
Operation write(Path path, std::size_t offset, const std::string& bytes) {
  return {"write " + path,
          [=](Mounted& disk) -> Result<std::size_t> {
            const Ref<OpenFile> file = TRY(disk.open(path, OpenFlags::kWriteOnly));
            KernelIoBuffer buffer(std::as_bytes(std::span(bytes)));
            return file->write_at(offset, buffer);
          },
          [=](ExpectedTree& tree, std::size_t count) {
            return tree.write(path, offset, std::string_view(bytes).substr(0, count));
          }};
}
Operation read(Path path) {
  const auto seen = std::make_shared<std::string>();
  return {"read " + path,
          [=](Mounted& disk) -> Result<std::size_t> {
            seen->clear();
            *seen = TRY(disk.read(path, 0, 1 << 20));
            return seen->size();
          },
          [=](ExpectedTree& tree, std::size_t count) {  // fewer bytes when an error came in between
            CHECK((*seen == tree.contents(path).substr(0, count)));
            return true;
          }};
}
Operation truncate(Path path, std::size_t size) {
  return simple(
      "truncate " + path, [=](Mounted& disk) { return disk.truncate(path, size); },
      [=](ExpectedTree& tree) { return tree.truncate(path, size); });
}
Operation make_directory(Path path) {
  return simple(
      "mkdir " + path, [=](Mounted& disk) { return disk.mkdir(path); },
      [=](ExpectedTree& tree) { return tree.make(path, FileKind::Directory); });
}
Operation remove_directory(Path path) {
  return simple(
      "rmdir " + path, [=](Mounted& disk) { return disk.rmdir(path); },
      [=](ExpectedTree& tree) { return tree.remove_directory(path); });
}
Operation unlink(Path path) {
  return simple(
      "unlink " + path, [=](Mounted& disk) { return disk.unlink(path); },
      [=](ExpectedTree& tree) { return tree.unlink(path); });
}
Operation link(Path old_path, Path path) {
  return simple(
      "link " + old_path + " " + path, [=](Mounted& disk) { return disk.link(old_path, path); },
      [=](ExpectedTree& tree) { return tree.link(old_path, path); });
}
Operation make_symbolic_link(const std::string& target, Path path) {
  return simple(
      "symlink " + path, [=](Mounted& disk) { return disk.symlink(target, path); },
      [=](ExpectedTree& tree) { return tree.make(path, FileKind::SymbolicLink, target); });
}
Operation rename(Path from, Path to) {
  return simple(
      "rename " + from + " " + to, [=](Mounted& disk) { return disk.rename(from, to); },
      [=](ExpectedTree& tree) { return tree.rename(from, to); });
}
Operation grow_cold() {
  return simple(
      "sync and drop caches",
      [](Mounted& disk) -> Result<> {
        TRY(disk.file_system->synchronize());
        (void)disk.file_system->drop_caches();
        PageCache::reclaim(SIZE_MAX);
        return {};
      },
      [](ExpectedTree&) { return true; });
}

std::string long_name(unsigned number) { return std::to_string(number) + std::string(200, 'n'); }

}  // namespace

void prepare_disk(Mounted& disk) {
  const std::string long_target(120, 't');
  REQUIRE(disk.write("/file", 0, pattern(300'000, 0)).has_value());
  REQUIRE(disk.mkdir("/directory").has_value());
  REQUIRE(disk.mkdir("/directory/deep").has_value());
  REQUIRE(disk.write("/directory/inner", 0, pattern(2000, 1)).has_value());
  REQUIRE(disk.write("/directory/sparse", 100'000, pattern(3000, 2)).has_value());
  REQUIRE(disk.symlink("file", "/fast").has_value());
  REQUIRE(disk.symlink(long_target, "/slow").has_value());
  for (unsigned i = 0; i < 3; ++i) REQUIRE(disk.write("/" + long_name(i), 0, "x").has_value());
}

std::vector<Operation> every_kind_of_operation() {
  const std::string text = pattern(30'000, 3);
  const std::vector<Operation> calls = {
      read("/file"),
      create("/new"),
      write("/new", 0, text),
      write("/file", 100'000, text),      // over what is there
      write("/file", 295'000, text),      // over the end
      write("/new", 70'000, "far away"),  // over a hole
      make_directory("/directory/sub"),
      create("/directory/sub/x"),
      write("/directory/sub/x", 5000, "x"),
      write("/directory/sparse", 50'000, "inside a hole"),
      rename("/new", "/directory/moved"),
      rename("/directory/inner", "/directory/moved"),  // in place of another
      rename("/directory", "/directory2"),
      make_directory("/other"),
      rename("/directory2/sub", "/other/sub"),  // its ".." changes
      make_directory("/empty"),
      rename("/other/sub", "/empty"),  // in place of an empty directory
      link("/file", "/other/hard"),
      make_symbolic_link("short", "/short"),
      make_symbolic_link(std::string(200, 's'), "/long"),
      create("/" + long_name(3)),
      create("/" + long_name(4)),  // the directory of small blocks grows
      truncate("/file", 280'500),
      truncate("/file", 5000),
      truncate("/file", 40'000),
      unlink("/other/hard"),
      unlink("/slow"),
      unlink("/directory2/sparse"),
      remove_directory("/directory2/deep"),
      unlink("/empty/x"),
      remove_directory("/empty"),
      unlink("/file"),
  };
  std::vector<Operation> all;
  for (const Operation& call : calls) {
    all.push_back(call);
    all.push_back(grow_cold());
  }
  return all;
}

}  // namespace faultline::sim
