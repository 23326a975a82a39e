// How many threads an op may use, and why: the counting half of parallel.h.
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "parallel.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace forwardpass {
namespace {

struct Count {
  int threads;
  std::string source;
};

int affinity_count() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    const int n = CPU_COUNT(&set);
    if (n > 0) return n;
  }
#endif
  const unsigned n = std::thread::hardware_concurrency();
  return n ? static_cast<int>(n) : 1;
}

// Whole CPUs in a quota of `quota` microseconds every `period`; 0 = no limit. Rounded down, since a
// thread too many is throttled; at least 1.
int whole_cpus(double quota, double period) {
  if (quota <= 0 || period <= 0) return 0;
  const double cpus = quota / period;
  return cpus < 1 ? 1 : cpus > 1e6 ? 0 : static_cast<int>(cpus);
}

int smaller(int a, int b) { return a == 0 ? b : b == 0 ? a : a < b ? a : b; }

// The strictest limit of a control group and its parents; `read` gives one folder's limit.
template <class Read>
int strictest(const std::string& root, std::string path, Read read) {
  int limit = 0;
  while (true) {
    limit = smaller(limit, read(root + path));
    const size_t slash = path.find_last_of('/');
    if (path.empty() || slash == std::string::npos) return limit;
    path.resize(slash);
  }
}

int quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max") return 0;
  return whole_cpus(std::atof(quota.c_str()), period);
}

int quota_v1(const std::string& folder) {
  std::ifstream quota_file(folder + "/cpu.cfs_quota_us"),
      period_file(folder + "/cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return 0;
  return whole_cpus(quota, period);
}

// The container's CPU quota in whole CPUs, 0 = none. A line of /proc/self/cgroup is
// "0::/path" (version 2) or "4:cpu,cpuacct:/path" (version 1).
int container_quota() {
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  int limit = 0;
  while (std::getline(groups, line)) {
    std::istringstream fields(line);
    std::string id, controllers, path;
    std::getline(fields, id, ':');
    std::getline(fields, controllers, ':');
    std::getline(fields, path);
    if (path == "/") path.clear();
    if (controllers.empty()) limit = smaller(limit, strictest("/sys/fs/cgroup", path, quota_v2));
    if ((',' + controllers + ',').find(",cpu,") != std::string::npos) {
      limit = smaller(limit, strictest("/sys/fs/cgroup/cpu", path, quota_v1));
    }
  }
  return limit;
}

// A positive whole number from the start of `text` up to `end_of_number`; 0 where there is none.
int positive(const char* text, const char* ends) {
  char* end = nullptr;
  errno = 0;
  const long n = std::strtol(text, &end, 10);
  const bool whole = end != text && (*end == '\0' || (*ends && *end == *ends));
  return whole && errno == 0 && n >= 1 && n <= 100000 ? static_cast<int>(n) : 0;
}

Count count_from_environment() {
  const char* own = std::getenv("FORWARDPASS_NUM_THREADS");
  if (own && *own) {
    if (const int n = positive(own, "")) return {n, "FORWARDPASS_NUM_THREADS"};
    throw std::runtime_error("FORWARDPASS_NUM_THREADS='" + std::string(own) +
                             "' is not a whole number of threads from 1 on");
  }
  const char* omp = std::getenv("OMP_NUM_THREADS");  // "4" or, for nested levels, "4,2"
  if (omp && *omp) {
    if (const int n = positive(omp, ",")) return {n, "OMP_NUM_THREADS"};
  }
  const int cpus = affinity_count(), quota = container_quota();
  if (quota && quota < cpus) return {quota, "container CPU quota"};
  return {cpus, "CPU affinity"};
}

const Count& default_count() {
  static const Count count = count_from_environment();
  return count;
}

std::atomic<int> process_wide{0};
thread_local int override_of_this_thread = 0;

}  // namespace

int num_threads() {
  if (override_of_this_thread) return override_of_this_thread;
  const int n = process_wide.load(std::memory_order_relaxed);
  return n ? n : default_count().threads;
}

void set_num_threads(int n) { process_wide.store(n, std::memory_order_relaxed); }

int push_thread_override(int n) {
  const int before = override_of_this_thread;
  override_of_this_thread = n;
  return before;
}
void pop_thread_override(int before) { override_of_this_thread = before; }

std::string thread_source() {
  if (override_of_this_thread) return "threads(n)";
  return process_wide.load(std::memory_order_relaxed) ? "set_num_threads" : default_count().source;
}

void check_thread_environment() {
  (void)default_count();
  (void)thread_backend();
}

}  // namespace forwardpass
