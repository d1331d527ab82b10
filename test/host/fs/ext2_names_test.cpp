// Names on ext2: directories, links, renaming.

#include "test/host/fs/mounted.hpp"

using namespace faultline;
using namespace faultline::sim;

TEST_SUITE_BEGIN("ext2 names");

TEST_CASE("directories are made, listed and removed; link counts follow") {
  for (unsigned block_size : {1024u, 4096u}) {
    Mounted disk(ImageKind{.block_size = block_size});
    const std::uint32_t links = disk.stat("/").links;
    REQUIRE(disk.mkdir("/a").has_value());
    REQUIRE(disk.mkdir("/a/b").has_value());
    REQUIRE(disk.write("/a/file", 0, "x").has_value());
    CHECK(disk.stat("/").links == links + 1);
    CHECK(disk.stat("/a").links == 3);
    CHECK((disk.list("/a") == std::set<std::string>{".", "..", "b", "file"}));
    CHECK(error_of(disk.rmdir("/a")) == KernelError::DirectoryNotEmpty);
    CHECK(error_of(disk.mkdir("/a")) == KernelError::AlreadyExists);
    CHECK(error_of(disk.rmdir("/a/file")) == KernelError::NotDirectory);
    CHECK(error_of(disk.unlink("/a/b")) == KernelError::IsDirectory);
    CHECK(error_of(disk.mkdir("/none/c")) == KernelError::NoSuchFile);
    CHECK(error_of(disk.mkdir("/a/file/c")) == KernelError::NotDirectory);
    REQUIRE(disk.rmdir("/a/b").has_value());
    REQUIRE(disk.unlink("/a/file").has_value());
    REQUIRE(disk.rmdir("/a/").has_value());
    CHECK(disk.stat("/").links == links);
    disk.check_clean();
  }
}

TEST_CASE("a directory grows over many blocks and is empty again") {
  Mounted disk(make_image({.block_size = 1024, .options = "-N 4096"}));
  REQUIRE(disk.mkdir("/d").has_value());
  std::set<std::string> names{".", ".."};
  for (int i = 0; i < 1500; ++i) {
    const std::string name = "a rather long name, number " + std::to_string(i);
    REQUIRE(disk.write("/d/" + name, 0, "").has_value());
    names.insert(name);
  }
  CHECK((disk.list("/d") == names));
  disk.check_clean();
  CHECK((disk.list("/d") == names));
  for (const std::string& name : names)
    if (name != "." && name != "..") REQUIRE(disk.unlink("/d/" + name).has_value());
  REQUIRE(disk.rmdir("/d").has_value());
  disk.check_clean();
}

TEST_CASE("listing goes on where it stopped, while names come and go") {
  Mounted disk(ImageKind{.block_size = 1024});
  for (int i = 0; i < 100; ++i) REQUIRE(disk.write("/f" + std::to_string(i), 0, "").has_value());
  class One final : public DirectoryVisitor {
   public:
    bool visit(const DirectoryEntry& entry) override {
      if (taken) return false;
      taken = true;
      name = entry.name;
      return true;
    }
    bool taken = false;
    std::string name;
  };
  std::set<std::string> seen;
  std::uint64_t position = 0;
  for (int i = 0;; ++i) {
    One one;
    const Ref<Inode> root = disk.file_system->root();
    REQUIRE(root->iterate(position, one).has_value());
    if (!one.taken) break;
    CHECK(seen.insert(one.name).second);
    // What is removed behind and before the position disturbs nothing else.
    if (i % 7 == 0) (void)disk.unlink("/f" + std::to_string(i));
    REQUIRE(i < 1000);
  }
  for (int i = 0; i < 100; ++i)
    if (i % 7 != 0) CHECK(seen.contains("f" + std::to_string(i)));
}

TEST_CASE("names may have 255 bytes, not 256, and no name is made of nothing") {
  Mounted disk(ImageKind{});
  CHECK(disk.write("/" + std::string(255, 'n'), 0, "x").has_value());
  CHECK(error_of(disk.write("/" + std::string(256, 'n'), 0, "x")) == KernelError::NameTooLong);
  CHECK(error_of(disk.open("", OpenFlags::kReadOnly)) == KernelError::NoSuchFile);
  CHECK(error_of(disk.mkdir("/")) == KernelError::AlreadyExists);
  CHECK(error_of(disk.rmdir("/")) == KernelError::Busy);
  disk.check_clean();
}

TEST_CASE("hard links share the file, and the last one takes it along") {
  Mounted disk(ImageKind{});
  const std::uint64_t blocks = disk.file_system->statistics().free_blocks;
  REQUIRE(disk.write("/one", 0, "text").has_value());
  REQUIRE(disk.link("/one", "/two").has_value());
  CHECK(disk.stat("/two").links == 2);
  CHECK(disk.stat("/two").inode == disk.stat("/one").inode);
  CHECK(error_of(disk.link("/one", "/two")) == KernelError::AlreadyExists);
  REQUIRE(disk.mkdir("/d").has_value());
  CHECK(error_of(disk.link("/d", "/e")) == KernelError::NotPermitted);
  REQUIRE(disk.unlink("/one").has_value());
  CHECK((disk.read("/two", 0, 10) == "text"));
  REQUIRE(disk.unlink("/two").has_value());
  REQUIRE(disk.rmdir("/d").has_value());
  CHECK(disk.file_system->statistics().free_blocks == blocks);
  disk.check_clean();
}

TEST_CASE("symbolic links stand in the inode up to 59 bytes, in a block above") {
  for (std::size_t length : {1, 59, 60, 61, 1023, 4000}) {
    CAPTURE(length);
    Mounted disk(ImageKind{.block_size = length < 1024 ? 1024u : 4096u});
    const std::string target(length, 't');
    REQUIRE(disk.symlink(target, "/link").has_value());
    CHECK((disk.readlink("/link") == target));
    CHECK(disk.stat("/link").blocks == (length < 60 ? 0 : disk.file_system->volume().block_size() / 512));
    disk.check_clean();
    CHECK((disk.readlink("/link") == target));
    REQUIRE(disk.unlink("/link").has_value());
    disk.check_clean();
  }
  Mounted disk(ImageKind{.block_size = 1024});
  CHECK(error_of(disk.symlink(std::string(1024, 't'), "/link")) == KernelError::NameTooLong);
  CHECK(error_of(disk.symlink("", "/link")) == KernelError::NoSuchFile);
}

TEST_CASE("paths follow links, forty of them and no more") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.mkdir("/d").has_value());
  REQUIRE(disk.write("/d/file", 0, "text").has_value());
  REQUIRE(disk.symlink("d/../d", "/relative").has_value());
  REQUIRE(disk.symlink("/relative/file", "/absolute").has_value());
  CHECK((disk.read("/absolute", 0, 10) == "text"));
  CHECK((disk.read("//relative//.//file", 0, 10) == "text"));
  CHECK(mode::kind_of(disk.stat("/absolute").mode) == FileKind::SymbolicLink);
  CHECK(disk.stat("/relative/").inode == disk.stat("/d").inode);
  REQUIRE(disk.symlink("/d/file", "/l0").has_value());
  for (int i = 1; i <= 40; ++i)
    REQUIRE(disk.symlink("/l" + std::to_string(i - 1), "/l" + std::to_string(i)).has_value());
  CHECK((disk.read("/l39", 0, 10) == "text"));
  CHECK(error_of(disk.read("/l40", 0, 10)) == KernelError::TooManySymbolicLinks);
  REQUIRE(disk.symlink("loop", "/loop").has_value());
  CHECK(error_of(disk.read("/loop", 0, 10)) == KernelError::TooManySymbolicLinks);
  CHECK(error_of(disk.open("/l1", OpenFlags::kReadOnly | OpenFlags::kNoFollow)) ==
        KernelError::TooManySymbolicLinks);
  CHECK(error_of(disk.open("/absolute/x", OpenFlags::kReadOnly)) == KernelError::NotDirectory);
  CHECK(error_of(disk.open("/d/file/", OpenFlags::kReadOnly)) == KernelError::NotDirectory);
}

TEST_CASE("creating through a link without a target makes the target") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.mkdir("/d").has_value());
  REQUIRE(disk.symlink("d/new", "/link").has_value());
  REQUIRE(disk.write("/link", 0, "made").has_value());
  CHECK((disk.read("/d/new", 0, 10) == "made"));
  CHECK(error_of(disk.open("/link", OpenFlags::kWriteOnly | OpenFlags::kCreate | OpenFlags::kExclusive)) ==
        KernelError::AlreadyExists);
  CHECK(error_of(disk.open("/d", OpenFlags::kWriteOnly | OpenFlags::kCreate)) == KernelError::IsDirectory);
  CHECK(error_of(disk.open("/d/", OpenFlags::kReadOnly | OpenFlags::kCreate)) == KernelError::IsDirectory);
}

TEST_CASE("rename moves, replaces and refuses as POSIX says") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.write("/a", 0, "A").has_value());
  REQUIRE(disk.write("/b", 0, "B").has_value());
  REQUIRE(disk.mkdir("/d").has_value());
  REQUIRE(disk.mkdir("/d/sub").has_value());
  REQUIRE(disk.mkdir("/e").has_value());
  const std::uint32_t root_links = disk.stat("/").links;

  CHECK(error_of(disk.rename("/a", "/b", RenameMode::NoReplace)) == KernelError::AlreadyExists);
  REQUIRE(disk.rename("/a", "/b").has_value());
  CHECK((disk.read("/b", 0, 10) == "A"));
  CHECK(error_of(disk.find("/a")) == KernelError::NoSuchFile);
  CHECK(error_of(disk.rename("/none", "/x")) == KernelError::NoSuchFile);
  CHECK(error_of(disk.rename("/b", "/d")) == KernelError::IsDirectory);
  CHECK(error_of(disk.rename("/d", "/b")) == KernelError::NotDirectory);
  CHECK(error_of(disk.rename("/e", "/d")) == KernelError::DirectoryNotEmpty);
  CHECK(error_of(disk.rename("/d", "/d/sub/x")) == KernelError::InvalidArgument);
  CHECK(error_of(disk.rename("/d", "/d/x")) == KernelError::InvalidArgument);
  CHECK(disk.rename("/b", "/b").has_value());

  // A directory over an empty one, in another directory: ".." and all link counts follow.
  REQUIRE(disk.rename("/d/sub", "/e").has_value());
  CHECK(disk.stat("/d").links == 2);
  CHECK(disk.stat("/").links == root_links);
  CHECK(disk.stat("/e/..").inode == disk.stat("/").inode);
  REQUIRE(disk.rename("/e", "/d/moved").has_value());
  CHECK(disk.stat("/").links == root_links - 1);
  CHECK(disk.stat("/d").links == 3);
  CHECK(disk.stat("/d/moved/..").inode == disk.stat("/d").inode);

  // Two names of one file: nothing happens.
  REQUIRE(disk.link("/b", "/c").has_value());
  REQUIRE(disk.rename("/b", "/c").has_value());
  CHECK(disk.stat("/b").links == 2);
  disk.check_clean();
}

TEST_CASE("a directory that was removed under somebody takes no new names, but still leads back") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.mkdir("/d").has_value());
  const Ref<Inode> directory = *disk.find("/d");
  REQUIRE(disk.rmdir("/d").has_value());
  CHECK(error_of(directory->create("x", {.permissions = 0644})) == KernelError::NoSuchFile);
  CHECK(error_of(directory->lookup("x")) == KernelError::NoSuchFile);
  const auto parent = directory->lookup("..");
  REQUIRE(parent.has_value());
  CHECK((*parent)->inode_number() == disk.stat("/").inode);
}

TEST_CASE("a directory indexed by hash reads like any other and loses its index when it changes") {
  std::string script = "mkdir d\ncd d\n";
  for (int i = 0; i < 400; ++i)
    script += "write /etc/hostname file_with_a_long_name_" + std::to_string(i) + "\n";
  std::vector<std::byte> image = make_image({.block_size = 1024, .type = "ext3"}, script);
  Mounted disk(std::move(image));
  REQUIRE(disk.list("/d").has_value());
  CHECK(disk.list("/d")->size() == 402);
  REQUIRE(disk.write("/d/new", 0, "x").has_value());
  REQUIRE(disk.unlink("/d/file_with_a_long_name_200").has_value());
  disk.check_clean();
  CHECK(disk.list("/d")->size() == 402);
}

TEST_CASE("the way back from an inode gives its path, also after it was moved") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.mkdir("/d").has_value());
  REQUIRE(disk.mkdir("/d/e").has_value());
  REQUIRE(disk.write("/d/e/file", 0, "").has_value());
  const Ref<Inode> root = disk.file_system->root();
  const auto path = [&](Inode& inode) {
    char space[256];
    const auto length = path_of(inode, *root, space);
    return length ? std::string(space, *length) : std::string(describe(length.error()));
  };
  const Ref<Inode> file = *disk.find("/d/e/file");
  const Ref<Inode> directory = *disk.find("/d/e");
  CHECK(path(*root) == "/");
  CHECK(path(*directory) == "/d/e");
  CHECK(path(*file) == "/d/e/file");
  REQUIRE(disk.rename("/d/e", "/f").has_value());
  CHECK(path(*file) == "/f/file");
  REQUIRE(disk.rename("/f/file", "/g").has_value());
  CHECK(path(*file) == "/g");
  REQUIRE(disk.unlink("/g").has_value());
  CHECK(path(*file) == "no such file or directory");
  char small[3];
  CHECK(error_of(path_of(**disk.find("/d"), *root, {small, 1})) == KernelError::OutOfRange);
}

TEST_CASE("permissions are checked for those who are not root") {
  Mounted disk(ImageKind{});
  REQUIRE(disk.write("/private", 0, "x").has_value());
  REQUIRE((*disk.find("/private"))->change_attributes({.permissions = 0600}).has_value());
  REQUIRE(disk.mkdir("/open").has_value());
  REQUIRE((*disk.find("/open"))->change_attributes({.permissions = 01777}).has_value());
  disk.credentials = {.user = 1000, .group = 1000, .groups = {}};
  CHECK(error_of(disk.open("/private", OpenFlags::kReadOnly)) == KernelError::AccessDenied);
  CHECK(error_of(disk.write("/new", 0, "x")) == KernelError::AccessDenied);
  REQUIRE(disk.write("/open/mine", 0, "x").has_value());
  CHECK(disk.stat("/open/mine").user == 1000);
  disk.credentials.user = 1001;
  CHECK(error_of(disk.unlink("/open/mine")) == KernelError::NotPermitted);
  CHECK(error_of(disk.rename("/open/mine", "/open/yours")) == KernelError::NotPermitted);
  disk.credentials.user = 1000;
  CHECK(disk.unlink("/open/mine").has_value());
  disk.credentials = {};
  disk.check_clean();
}

TEST_SUITE_END();
