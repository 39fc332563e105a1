#include "dossier/pdf.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/str.h"
#include "dossier/outputs.h"

extern char** environ;

namespace stillwatch::dossier {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "/CreationDate (D:20261121113000+00'00')": the digits, in place.
void ForgetTimes(std::string* pdf) {
  for (const char* key : {"/CreationDate (D:", "/ModDate (D:"}) {
    for (size_t at = pdf->find(key); at != std::string::npos; at = pdf->find(key, at + 1)) {
      const size_t begin = at + std::strlen(key);
      if (begin + 14 <= pdf->size()) pdf->replace(begin, 14, "19700101000000");
    }
  }
}

// A folder of its own for one run, removed at the end.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "stillwatch-pdf-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
  }
  std::string path;
};

}  // namespace

std::string FindChromium() {
  const auto runs = [](const std::string& path) {
    return access(path.c_str(), X_OK) == 0 && !fs::is_directory(path);
  };
  if (const char* named = std::getenv("CHROMIUM")) return runs(named) ? named : "";
  const char* path = std::getenv("PATH");
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    std::istringstream folders(path == nullptr ? "/usr/bin" : path);
    for (std::string folder; std::getline(folders, folder, ':');)
      if (const std::string file = StrCat(folder, "/", name); runs(file)) return file;
  }
  return "";
}

absl::StatusOr<std::string> PrintPdf(const std::string& chromium, const std::string& html) {
  const Folder folder;
  if (folder.path.empty())
    return absl::UnavailableError(StrCat("no temporary folder: ", std::strerror(errno)));
  const std::string page = folder.path + "/page.html", pdf = folder.path + "/page.pdf",
                    said = folder.path + "/said";
  if (absl::Status s = WriteWhole(page, html); !s.ok()) return s;
  std::vector<std::string> args = {chromium,
                                   "--headless",
                                   "--disable-gpu",
                                   "--disable-dev-shm-usage",
                                   "--no-first-run",
                                   "--disable-extensions",
                                   "--disable-background-networking",
                                   "--disable-sync",
                                   "--host-resolver-rules=MAP * ~NOTFOUND",
                                   "--user-data-dir=" + folder.path + "/profile",
                                   "--no-pdf-header-footer",
                                   "--print-to-pdf=" + pdf,
                                   "file://" + page};
  // Root has no user namespace to hide in; the page allows no script, and there is no network.
  if (geteuid() == 0) args.insert(args.begin() + 1, "--no-sandbox");
  std::vector<char*> argv;
  for (std::string& a : args) argv.push_back(a.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // its helpers are killed with it
  pid_t pid = 0;
  const int error = posix_spawn(&pid, chromium.c_str(), &files, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return absl::UnavailableError(StrCat(chromium, ": ", std::strerror(error)));
  int status = 0;
  for (int waited = 0; waitpid(pid, &status, WNOHANG) == 0; ++waited) {
    if (waited == kPdfSecondsMax * 20) {
      kill(-pid, SIGKILL);
      waitpid(pid, &status, 0);
      return absl::DeadlineExceededError(StrCat(chromium, ": no PDF after ", kPdfSecondsMax, " s"));
    }
    usleep(50'000);
  }
  std::string bytes = ReadAll(pdf);
  if (!bytes.starts_with("%PDF-")) {
    std::string why = ReadAll(said);
    if (why.size() > 500) why.erase(0, why.size() - 500);
    return absl::UnavailableError(StrCat(chromium, ": no PDF was printed: ", why));
  }
  ForgetTimes(&bytes);
  return bytes;
}

}  // namespace stillwatch::dossier
