// ClickHouse servers of the tests' own: Debian's clickhouse-server on loopback, each in a folder
// that goes with it, on ports that the kernel chose. They die with the test.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace stillwatch::lake {

inline constexpr char kServerBinary[] = "/usr/sbin/clickhouse-server";
inline constexpr char kTestCluster[] = "test";

class TestServers {
 public:
  explicit TestServers(int n) {
    static int made = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("stillwatch-servers-" + std::to_string(getpid()) + "-" + std::to_string(made++));
    for (int attempt = 0; attempt < 5;
         ++attempt) {  // somebody may take a port before the server does
      ports_ = FreePorts(2 * n);
      pids_.assign(n, -1);
      bool all = true;
      for (int i = 0; i < n; ++i) {
        Configure(i);
        Start(i);
      }
      for (int i = 0; i < n; ++i) all = Ready(i) && all;
      if (all) return;
      StopAll();
    }
    throw std::runtime_error(
        "no ClickHouse server starts here (tools/setup test installs clickhouse-server); see " +
        folder_.string());
  }
  ~TestServers() {
    StopAll();
    std::filesystem::remove_all(folder_);
  }
  TestServers(const TestServers&) = delete;
  void operator=(const TestServers&) = delete;

  int size() const { return static_cast<int>(pids_.size()); }
  std::string host(int i) const { return "127.0.0.1:" + std::to_string(ports_[2 * i]); }
  std::string hosts() const {
    std::string out;
    for (int i = 0; i < size(); ++i) out += (i == 0 ? "" : ",") + host(i);
    return out;
  }
  void Signal(int i, int what) { kill(pids_[i], what); }
  void Kill(int i) {
    kill(pids_[i], SIGKILL);
    waitpid(pids_[i], nullptr, 0);
    pids_[i] = -1;
  }
  void Start(int i) {
    const std::string folder = folder_ / std::to_string(i),
                      config = "--config-file=" + folder + "/config.xml";
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent || chdir(folder.c_str()) != 0) _exit(98);
      const int out = open("out", O_WRONLY | O_CREAT | O_APPEND, 0600);
      dup2(out, 1);
      dup2(out, 2);
      execl(kServerBinary, kServerBinary, config.c_str(), nullptr);
      _exit(99);
    }
    pids_[i] = child;
  }
  // Whether it answers; false when it has ended.
  bool Ready(int i) {
    for (int t = 0; t < 1200; ++t) {
      if (waitpid(pids_[i], nullptr, WNOHANG) == pids_[i]) {
        pids_[i] = -1;
        return false;
      }
      if (Answers(ports_[2 * i]) && Answers(ports_[2 * i + 1])) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

 private:
  static sockaddr_in Loopback(int port) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(static_cast<uint16_t>(port));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
  }
  static bool Answers(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in a = Loopback(port);
    const bool ok = connect(fd, reinterpret_cast<const sockaddr*>(&a), sizeof(a)) == 0;
    close(fd);
    return ok;
  }
  static std::vector<int> FreePorts(int n) {
    std::vector<int> fds, ports;
    for (int i = 0; i < n; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in a = Loopback(0);
      socklen_t size = sizeof(a);
      if (bind(fd, reinterpret_cast<sockaddr*>(&a), size) != 0 ||
          getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0) {
        throw std::runtime_error("no port on loopback");
      }
      fds.push_back(fd);
      ports.push_back(ntohs(a.sin_port));
    }
    for (const int fd : fds) close(fd);
    return ports;
  }
  void Configure(int i) {
    const std::string f = folder_ / std::to_string(i);
    std::filesystem::create_directories(f);
    std::ofstream(f + "/users.xml")
        << "<yandex><profiles><default/></profiles><quotas><default/></quotas><users>"
           "<default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</"
           "profile><quota>default</quota></default>"
           "<guarded><password>se:c@ret</password><networks><ip>127.0.0.1</ip></"
           "networks><profile>default</profile><quota>default</quota></guarded>"
           "</users></yandex>";
    std::ofstream config(f + "/config.xml");
    config << "<yandex><logger><level>warning</level><log>" << f << "/log</log><errorlog>" << f
           << "/err</errorlog></logger>"
           << "<listen_host>127.0.0.1</listen_host><http_port>" << ports_[2 * i]
           << "</http_port><tcp_port>" << ports_[2 * i + 1] << "</tcp_port><path>" << f
           << "/data/</path><tmp_path>" << f << "/tmp/</tmp_path><user_files_path>" << f
           << "/user_files/</user_files_path><format_schema_path>" << f
           << "/schemas/</format_schema_path>"
           << "<users_config>users.xml</users_config><default_profile>default</default_profile>"
           << "<default_database>default</default_database><mark_cache_size>268435456</"
              "mark_cache_size><remote_servers><"
           << kTestCluster << ">";
    for (int s = 0; s < size(); ++s) {
      config << "<shard><replica><host>127.0.0.1</host><port>" << ports_[2 * s + 1]
             << "</port></replica></shard>";
    }
    config << "</" << kTestCluster << "><pair><shard>";
    for (int s = 0; s < size(); ++s) {
      config << "<replica><host>127.0.0.1</host><port>" << ports_[2 * s + 1] << "</port></replica>";
    }
    config << "</shard></pair></remote_servers></yandex>";
  }
  void StopAll() {
    for (int i = 0; i < size(); ++i) {
      if (pids_[i] > 0) Kill(i);
    }
  }

  std::filesystem::path folder_;
  std::vector<int> ports_;  // HTTP and native, of each
  std::vector<pid_t> pids_;
};

}  // namespace stillwatch::lake
