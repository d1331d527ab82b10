#pragma once
// What /proc tells of processes and of the system.

namespace faultline {

class ProcSource;

ProcSource& process_report_source();

}  // namespace faultline
