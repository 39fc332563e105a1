// stillwatch policy ...: a policy file is checked here; all else asks a running service, in the
// name of the person whose token STILLWATCH_TOKEN is.
#include "respond/policy.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <simdjson.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "app/command.h"
#include "app/config.h"
#include "app/files.h"
#include "base/json.h"
#include "base/str.h"

extern char** environ;

namespace stillwatch::app {
namespace {

using base::StrCat;
using simdjson::dom::element;

constexpr size_t kReplyBytes = 64 << 20;

struct Service {
  std::string url = "http://127.0.0.1:8080", token_file;
};

size_t Take(char* data, size_t size, size_t n, void* out) {
  auto* text = static_cast<std::string*>(out);
  if (text->size() + size * n > kReplyBytes) return 0;
  text->append(data, size * n);
  return size * n;
}

// One call. What the service says against it is the error.
absl::StatusOr<std::string> Call(const Service& service, const char* method,
                                 const std::string& path, const std::string& body = "") {
  std::string token;
  if (const char* env = std::getenv("STILLWATCH_TOKEN");
      !service.token_file.empty() || env != nullptr) {
    auto read =
        ReadSecret(service.token_file.empty() ? Secret{.env = "STILLWATCH_TOKEN", .file = {}}
                                              : Secret{.env = {}, .file = service.token_file},
                   8);
    if (!read.ok()) return read.status();
    token = *read;
  }
  CURL* curl = curl_easy_init();
  if (curl == nullptr) return absl::InternalError("libcurl cannot be initialised");
  std::string reply, url = service.url;
  while (url.ends_with('/')) url.pop_back();
  url += path;
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  if (!token.empty())
    headers = curl_slist_append(headers, StrCat("Authorization: Bearer ", token).c_str());
  char error[CURL_ERROR_SIZE] = {};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  if (std::string_view(method) != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 300L);  // a dry run reads a day of traffic
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
  const CURLcode rc = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  if (rc != CURLE_OK) {
    return absl::UnavailableError(StrCat(service.url, ": ",
                                         error[0] != 0 ? error : curl_easy_strerror(rc),
                                         "; is the service running there? (--url)"));
  }
  if (status < 300) return reply;
  simdjson::dom::parser parser;
  element root;
  std::string_view message;
  if (parser.parse(reply).get(root) != simdjson::SUCCESS ||
      root["error"]["message"].get(message) != simdjson::SUCCESS)
    message = "the service gave no reason";
  const std::string why = StrCat(service.url, " says ", status, ": ", message,
                                 status == 401 ? "; set STILLWATCH_TOKEN or --token-file" : "");
  return absl::InvalidArgumentError(why);
}

std::string Text(element e, const char* key) {
  std::string_view s;
  return e[key].get(s) == simdjson::SUCCESS ? std::string(s) : std::string();
}
int64_t Int(element e, const char* key) {
  int64_t v = 0;
  return e[key].get(v) == simdjson::SUCCESS ? v : 0;
}
bool Bool(element e, const char* key) {
  bool v = false;
  return e[key].get(v) == simdjson::SUCCESS && v;
}

// Calls, and shows the reply to `show`.
absl::Status Ask(const Service& service, const char* method, const std::string& path,
                 const std::string& body, const std::function<absl::Status(element)>& show) {
  auto reply = Call(service, method, "/api/v1" + path, body);
  if (!reply.ok()) return reply.status();
  simdjson::dom::parser parser;
  element root;
  if (parser.parse(*reply).get(root) != simdjson::SUCCESS)
    return absl::InvalidArgumentError(
        StrCat(service.url, ": is no Stillwatch service (its reply is no JSON)"));
  return show(root);
}

std::string Object(std::initializer_list<std::pair<const char*, std::string>> texts,
                   std::initializer_list<std::pair<const char*, int64_t>> numbers = {}) {
  std::string out;
  base::JsonWriter w(&out);
  w.BeginObject();
  for (const auto& [k, v] : texts) w.Key(k), w.String(v);
  for (const auto& [k, v] : numbers) w.Key(k), w.Int(v);
  w.EndObject();
  return out;
}

// Control characters of what others wrote do not reach the terminal.
std::string Plain(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

absl::Status Show(element p) {
  std::printf("version %lld: %s; %lld accounts touched%s\n",
              static_cast<long long>(Int(p, "version")), Text(p, "status").c_str(),
              static_cast<long long>(Int(p, "touched")),
              Bool(p, "needs_approval") ? "; a second person must approve it" : "");
  return absl::OkStatus();
}

absl::Status Check(const Service& service, const std::string& path, bool dry_run) {
  auto text = ReadFile(path, respond::kPolicyBytesMax);
  if (!text.ok()) return text.status();
  auto policy = respond::ParsePolicy(*text, path);
  if (!policy.ok()) return policy.status();
  std::printf("%s: in order; meaning %s, %zu rules, %zu directives, %zu permits, %zu lists\n",
              path.c_str(), policy->Version().c_str(),
              policy->rules.size() + policy->recognition.size(), policy->directives.size(),
              policy->permits.size(), policy->lists.size());
  if (!dry_run) return absl::OkStatus();
  return Ask(service, "POST", "/policies/dry-run", Object({{"text", *text}}), [](element e) {
    std::printf(
        "over the last day: %lld accounts touched (above %lld a second person must approve)\n",
        static_cast<long long>(Int(e, "touched")),
        static_cast<long long>(Int(e, "approval_above")));
    if (element report; e["report"].get(report) == simdjson::SUCCESS && !report.is_null())
      std::printf("%s\n", simdjson::minify(report).c_str());
    return absl::OkStatus();
  });
}

absl::Status Propose(const Service& service, const std::string& path, const std::string& note) {
  auto text = ReadFile(path, respond::kPolicyBytesMax);
  if (!text.ok()) return text.status();
  if (auto policy = respond::ParsePolicy(*text, path); !policy.ok()) return policy.status();
  return Ask(service, "POST", "/policies", Object({{"text", *text}, {"note", note}}), Show);
}

absl::Status Approve(const Service& service, int64_t version, const std::string& note) {
  int64_t revision = 0;
  const std::string path = StrCat("/policies/", version);
  absl::Status s = Ask(service, "GET", path, "", [&](element p) {
    revision = Int(p, "revision");
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return Ask(service, "POST", path + "/approve", Object({{"note", note}}, {{"revision", revision}}),
             Show);
}

absl::StatusOr<int64_t> ActiveVersion(const Service& service) {
  int64_t version = 0;
  absl::Status s = Ask(service, "GET", "/policies/active", "", [&](element p) {
    version = Int(p, "version");
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return version;
}

absl::Status Activate(const Service& service, int64_t version, const std::string& note) {
  auto active = ActiveVersion(service);
  if (!active.ok()) return active.status();
  return Ask(service, "POST", StrCat("/policies/", version, "/activate"),
             Object({{"note", note}}, {{"expected_active", *active}}), Show);
}

absl::Status Rollback(const Service& service, const std::string& note) {
  auto active = ActiveVersion(service);
  if (!active.ok()) return active.status();
  return Ask(service, "POST", "/policies/rollback",
             Object({{"note", note}}, {{"expected_active", *active}}), [&](element p) {
               if (Int(p, "version") != 0) return Show(p);
               std::printf(
                   "version %lld is out of force; what the service's policy file says holds\n",
                   static_cast<long long>(*active));
               return absl::OkStatus();
             });
}

absl::Status List(const Service& service) {
  return Ask(service, "GET", "/policies?limit=50", "", [](element e) {
    std::printf("%-8s %-12s %-10s %-20s %s\n", "version", "status", "touched", "proposed by",
                "note");
    simdjson::dom::array rows;
    if (e["rows"].get(rows) != simdjson::SUCCESS) return absl::OkStatus();
    for (element p : rows) {
      std::printf("%-8lld %-12s %-10lld %-20s %s\n", static_cast<long long>(Int(p, "version")),
                  Text(p, "status").c_str(), static_cast<long long>(Int(p, "touched")),
                  Plain(Text(p, "proposed_by")).c_str(), Plain(Text(p, "note")).c_str());
    }
    return absl::OkStatus();
  });
}

// The text of "active", of a version's number or of a file.
absl::StatusOr<std::string> TextOf(const Service& service, const std::string& which) {
  const bool number = !which.empty() && which.find_first_not_of("0123456789") == std::string::npos;
  if (!number && which != "active") return ReadFile(which, respond::kPolicyBytesMax);
  std::string text;
  absl::Status s = Ask(service, "GET", "/policies/" + which, "", [&](element p) {
    text = Text(p, "text");
    return absl::OkStatus();
  });
  if (!s.ok()) return s;
  return text;
}

absl::Status Diff(const Service& service, const std::string& a, const std::string& b) {
  const std::string dir =
      StrCat((std::filesystem::temp_directory_path() / "stillwatch-diff-").string(), getpid());
  std::filesystem::create_directory(dir);
  std::filesystem::permissions(dir, std::filesystem::perms::owner_all);
  absl::Status status;
  std::vector<std::string> args = {"diff", "-u", "--label", a, "--label", b};
  for (const std::string& which : {a, b}) {
    auto text = TextOf(service, which);
    if (!text.ok()) {
      status = text.status();
      break;
    }
    args.push_back(StrCat(dir, "/", args.size()));
    std::ofstream(args.back(), std::ios::binary) << *text;
  }
  if (status.ok()) {
    std::fflush(stdout);
    std::vector<char*> argv;
    for (std::string& s : args) argv.push_back(s.data());
    argv.push_back(nullptr);
    pid_t pid = 0;
    int code = 0;
    if (posix_spawnp(&pid, "diff", nullptr, nullptr, argv.data(), environ) != 0 ||
        waitpid(pid, &code, 0) != pid || !WIFEXITED(code) || WEXITSTATUS(code) > 1)
      status = absl::InvalidArgumentError("diff: could not be run (Debian package diffutils)");
    else if (WEXITSTATUS(code) == 0)
      std::printf("%s and %s are the same\n", a.c_str(), b.c_str());
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return status;
}

}  // namespace

void AddPolicy(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand(
      "policy", "Check a policy; propose, approve, activate and roll back on a service");
  sub->require_subcommand(1);
  auto service = std::make_shared<Service>();
  auto file = std::make_shared<std::string>(), note = std::make_shared<std::string>(),
       a = std::make_shared<std::string>("active"), b = std::make_shared<std::string>();
  auto version = std::make_shared<int64_t>(0);
  auto dry_run = std::make_shared<bool>(false);
  const auto asks = [&](CLI::App* s, bool notes) {
    s->add_option("--url", service->url, "the service")->capture_default_str();
    s->add_option("--token-file", service->token_file,
                  "file with the token; default: STILLWATCH_TOKEN");
    if (notes) s->add_option("--note", *note, "why, for the audit log and the next person");
  };
  const auto add = [&](const char* name, const char* what, const char* example,
                       std::function<absl::Status()> run) {
    auto* s = sub->add_subcommand(name, what);
    s->footer(StrCat("Example: stillwatch policy ", name, example));
    s->callback([=] { *code = Report(run()); });
    return s;
  };
  auto* check = add("check", "Say what is wrong with a file, or what it means", " policy.yaml",
                    [=] { return Check(*service, *file, *dry_run); });
  check->add_option("FILE", *file, "YAML (docs/POLICY.md)")->required();
  check->add_flag("--dry-run", *dry_run, "try it on the service's last day of traffic");
  asks(check, false);
  auto* propose = add("propose", "Propose a version", " policy.yaml --note \"after the review\"",
                      [=] { return Propose(*service, *file, *note); });
  propose->add_option("FILE", *file, "YAML (docs/POLICY.md)")->required();
  asks(propose, true);
  auto* approve = add("approve", "Approve what another person proposed", " 7",
                      [=] { return Approve(*service, *version, *note); });
  approve->add_option("VERSION", *version, "its number")->required();
  asks(approve, true);
  auto* activate = add("activate", "Put a version into force", " 7",
                       [=] { return Activate(*service, *version, *note); });
  activate->add_option("VERSION", *version, "its number")->required();
  asks(activate, true);
  auto* rollback = add("rollback", "Back to what was in force before, at once", "",
                       [=] { return Rollback(*service, *note); });
  asks(rollback, true);
  auto* list = add("list", "Versions, newest first", "", [=] { return List(*service); });
  asks(list, false);
  auto* diff = add("diff", "What differs between two versions or files", " active policy.yaml",
                   [=] { return Diff(*service, *a, *b); });
  diff->add_option("A", *a, "a version's number, active, or a file")->required();
  diff->add_option("B", *b, "likewise")->required();
  asks(diff, false);
}

}  // namespace stillwatch::app
