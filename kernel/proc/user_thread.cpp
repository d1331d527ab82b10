#include "kernel/proc/user_thread.hpp"

namespace faultline {

Result<Ref<UserThread>> UserThread::create(Process& process, void (*prologue)()) {
  Ref<UserThread> thread = TRY(make_ref<UserThread>(TRY(KernelStack::allocate())));
  thread->process = &process;
  thread->prepare_user_entry(prologue);
  return thread;
}

}  // namespace faultline
