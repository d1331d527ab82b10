// The floating-point registers to and from an FpState. sstatus.FS is not Off when these run.

  .option arch, +f, +d
  .text

  // void fp_store(FpState& state)
  .globl fp_store
fp_store:
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  fsd f\n, 8 * \n(a0)
  .endr
  frcsr t0
  sw t0, 256(a0)
  ret

  // void fp_load(const FpState& state)
  .globl fp_load
fp_load:
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
  fld f\n, 8 * \n(a0)
  .endr
  lw t0, 256(a0)
  fscsr t0
  ret
