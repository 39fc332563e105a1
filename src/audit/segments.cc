#include "audit/segments.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "audit/verify.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::audit {
namespace {

using base::StrCat;

constexpr std::string_view kPrefix = "audit-", kSuffix = ".jsonl";

}  // namespace

std::string SegmentName(uint64_t number) {
  char text[48];
  std::snprintf(text, sizeof text, "audit-%06llu.jsonl", static_cast<unsigned long long>(number));
  return text;
}

absl::StatusOr<std::vector<SegmentFile>> ListSegments(const std::string& dir) {
  DIR* d = opendir(dir.c_str());
  if (d == nullptr) {
    const std::string why = StrCat("audit log: ", dir, ": cannot be read: ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(why) : absl::UnavailableError(why);
  }
  std::vector<SegmentFile> out;
  while (const dirent* e = readdir(d)) {
    const std::string_view name = e->d_name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const std::string_view digits =
        name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
    uint64_t number = 0;
    const auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || at != digits.data() + digits.size() || SegmentName(number) != name)
      continue;
    SegmentFile f{number, std::string(name), StrCat(dir, "/", name), 0};
    struct stat st {};
    if (stat(f.path.c_str(), &st) == 0) f.bytes = static_cast<uint64_t>(st.st_size);
    out.push_back(std::move(f));
  }
  closedir(d);
  std::sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.number < b.number; });
  return out;
}

absl::StatusOr<std::string> ReadRange(const std::string& path, uint64_t offset, uint64_t bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return absl::UnavailableError(StrCat("audit log: ", path, ": ", std::strerror(errno)));
  std::string out(bytes, '\0');
  size_t have = 0;
  while (have < bytes) {
    const ssize_t n = pread(fd, out.data() + have, bytes - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const std::string why = std::strerror(errno);
      close(fd);
      return absl::UnavailableError(StrCat("audit log: ", path, ": ", why));
    }
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  close(fd);
  out.resize(have);
  return out;
}

std::string RecoveredDetails(std::string_view segment, uint64_t offset, uint64_t bytes,
                             std::string_view hash_hex) {
  return StrCat(R"({"segment":")", segment, R"(","offset":)", offset, R"(,"bytes":)", bytes,
                R"(,"hash":")", hash_hex, R"("})");
}

std::string SignatureDetails(std::string_view key, std::string_view signature) {
  return StrCat(R"({"key":")", base::Hex(key), R"(","signature":")", base::Hex(signature), R"("})");
}

std::string FormatRecord(uint64_t seq, std::string_view prev, const AuditRecord& r,
                         std::string* out) {
  const size_t begin = out->size();
  base::StrAppend(out, R"({"seq":)", seq, R"(,"time":")", base::FormatRfc3339(r.time_ms),
                  R"(","actor":)");
  base::AppendJsonString(r.actor, out);
  *out += R"(,"action":)";
  base::AppendJsonString(r.action, out);
  *out += R"(,"subject":)";
  base::AppendJsonString(r.subject, out);
  base::StrAppend(out, R"(,"details":)", r.details, R"(,"prev":")", prev, "\"");
  std::string hash = HashHex(std::string_view(*out).substr(begin));
  base::StrAppend(out, R"(,"hash":")", hash, "\"}\n");
  return hash;
}

bool FromHex(std::string_view hex, std::string* out) {
  if (hex.size() % 2 != 0) return false;
  out->clear();
  for (size_t i = 0; i < hex.size(); i += 2) {
    int v = 0;
    for (const char c : hex.substr(i, 2)) {
      if (c >= '0' && c <= '9')
        v = v * 16 + (c - '0');
      else if (c >= 'a' && c <= 'f')
        v = v * 16 + (c - 'a' + 10);
      else
        return false;
    }
    out->push_back(static_cast<char>(v));
  }
  return true;
}

}  // namespace stillwatch::audit
