#include "app/state_dir.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "app/command.h"
#include "app/config.h"
#include "base/str.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

std::string UserName(uid_t uid) {
  const passwd* p = getpwuid(uid);
  return p == nullptr ? StrCat("uid ", uid) : std::string(p->pw_name);
}

}  // namespace

void AddPlace(CLI::App* sub, Where* where) {
  sub->add_option("--data", where->data, "folder of the service")->capture_default_str();
  sub->add_option("--config", where->config, "configuration file that names the folder");
}

absl::StatusOr<std::string> DataDir(const std::string& config, const std::string& data) {
  if (config.empty()) return data;
  auto read = ReadConfig(config);
  if (!read.ok()) return read.status();
  return read->data;
}

absl::StatusOr<LocalState> OpenLocalState(const std::string& data) {
  struct stat st {};
  if (stat(data.c_str(), &st) != 0) {
    return absl::InvalidArgumentError(StrCat(
        data, ": ", std::strerror(errno), "; name the service's folder with --data or --config"));
  }
  if (st.st_uid != geteuid()) {
    return absl::InvalidArgumentError(StrCat(data, ": belongs to ", UserName(st.st_uid),
                                             "; run this as that user (sudo -u ",
                                             UserName(st.st_uid), " stillwatch ...)"));
  }
  LocalState out;
  out.actor = StrCat("local:", UserName(getuid()));
  auto log = audit::AuditLog::Open({data + "/audit", NowMs, "", audit::kSegmentBytes});
  if (!log.ok()) return log.status();
  out.audit = std::move(*log);
  auto state =
      state::State::Open({.dir = data + "/state", .audit = out.audit.get(), .now_ms = NowMs});
  if (!state.ok()) return state.status();
  out.state = std::move(*state);
  return out;
}

absl::StatusOr<LocalState> OpenLocalState(const Where& where) {
  const auto data = DataDir(where.config, where.data);
  if (!data.ok()) return data.status();
  return OpenLocalState(*data);
}

}  // namespace stillwatch::app
