# The disk: FS_IMAGE is what the build makes and nothing writes to; DISK_IMAGE is the copy that `make qemu`
# runs on.

FS_IMAGE ?= $(BUILD)/fs.img
DISK_IMAGE ?= $(BUILD)/disk.img
BLOCK ?= 4096

ROOT_FILES := $(sort $(shell find mkfs/root -type f))

image_contents = $(BLOCK) $(notdir $(USER_PROGRAMS)) $(EXTRA)
$(FS_IMAGE).contents: FORCE
	$(call remember,image_contents)

$(FS_IMAGE): mkfs/mkfs.py $(ROOT_FILES) $(USER_PROGRAMS) $(EXTRA) $(FS_IMAGE).contents
	@echo "  MKFS $@"
	$(Q)$(PYTHON) mkfs/mkfs.py --block $(BLOCK) --root mkfs/root --output $@ $(USER_PROGRAMS) $(EXTRA)

$(DISK_IMAGE): $(FS_IMAGE)
	$(Q)cp --sparse=always $< $@

.PHONY: image
image: $(FS_IMAGE)
