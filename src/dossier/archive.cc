#include "dossier/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <simdjson.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>

#include "base/hex.h"
#include "base/json.h"
#include "base/str.h"
#include "base/version.h"
#include "dossier/outputs.h"

namespace stillwatch::dossier {
namespace {

using base::StrCat;

constexpr char kManifest[] = "manifest.json", kSignature[] = "manifest.sig",
               kSchema[] = "stillwatch.dossier/1";

// Empty unless `text` is exactly `bytes` bytes in hexadecimal digits.
std::string Unhex(std::string_view text, size_t bytes) {
  std::string out(bytes, 0);
  size_t got = 0;
  const char* end = nullptr;
  const bool whole = sodium_hex2bin(reinterpret_cast<unsigned char*>(out.data()), bytes,
                                    text.data(), text.size(), nullptr, &got, &end) == 0 &&
                     got == bytes && end == text.data() + text.size();
  return whole ? out : "";
}

std::string Blake2b(std::string_view bytes) {
  std::string out(32, 0);
  crypto_generichash(reinterpret_cast<unsigned char*>(out.data()), out.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr,
                     0);
  return base::Hex(out);
}

struct Pair {
  std::string public_key, secret_key;
};
Pair FromSeed(std::string_view seed) {
  Pair p{std::string(crypto_sign_PUBLICKEYBYTES, 0), std::string(crypto_sign_SECRETKEYBYTES, 0)};
  crypto_sign_seed_keypair(reinterpret_cast<unsigned char*>(p.public_key.data()),
                           reinterpret_cast<unsigned char*>(p.secret_key.data()),
                           reinterpret_cast<const unsigned char*>(seed.data()));
  return p;
}

absl::StatusOr<std::string> ReadHex(const std::string& path, size_t bytes) {
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line))
    return absl::NotFoundError(
        StrCat(path, ": cannot be read; `stillwatch dossier key` makes one"));
  std::string out = Unhex(line, bytes);
  if (out.empty())
    return absl::InvalidArgumentError(
        StrCat(path, ": expected a key of ", bytes * 2, " hexadecimal digits"));
  return out;
}

std::string Manifest(const std::vector<File>& files, std::string_view campaign,
                     std::string_view audience, const std::string& signer) {
  std::string out;
  base::JsonWriter w(&out, true);
  w.BeginObject();
  const auto text = [&](const char* key, std::string_view v) {
    w.Key(key);
    w.String(v);
  };
  text("schema", kSchema);
  text("version", base::kVersion);
  text("campaign", campaign);
  text("audience", audience);
  text("signer", signer);
  w.Key("files");
  w.BeginObject();
  for (const File& f : files) text(f.name.c_str(), Blake2b(f.bytes));
  w.EndObject();
  w.EndObject();
  out.push_back('\n');
  return out;
}

absl::StatusOr<std::vector<File>> Unpack(std::string_view zip) {
  const std::unique_ptr<archive, int (*)(archive*)> in(archive_read_new(), archive_read_free);
  archive_read_support_format_zip(in.get());
  const auto wrong = [&](const std::string& what) {
    return absl::InvalidArgumentError(StrCat("not an archive of a dossier: ", what));
  };
  const auto why = [&]() -> std::string {
    const char* said = archive_error_string(in.get());  // of some damage nothing
    return said ? said : "damaged";
  };
  if (archive_read_open_memory(in.get(), zip.data(), zip.size()) != ARCHIVE_OK) return wrong(why());
  std::vector<File> files;
  size_t total = 0;
  archive_entry* entry = nullptr;
  for (;;) {
    const int next = archive_read_next_header(in.get(), &entry);
    if (next == ARCHIVE_EOF) return files;
    if (next != ARCHIVE_OK) return wrong(why());
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || files.size() == kArchiveFilesMax)
      return wrong("too many files, or one without a name");
    File file{name, ""};
    std::array<char, 64 << 10> part;
    for (;;) {
      const auto n = archive_read_data(in.get(), part.data(), part.size());
      if (n < 0) return wrong(StrCat(file.name, ": ", why()));
      if (n == 0) break;
      total += static_cast<size_t>(n);
      if (total > kArchiveBytesMax) return wrong("more than 512 MiB unpacked");
      file.bytes.append(part.data(), static_cast<size_t>(n));
    }
    files.push_back(std::move(file));
  }
}

}  // namespace

absl::Status MakeKey(const std::string& path) {
  if (sodium_init() < 0) return absl::InternalError("libsodium does not start");
  std::string seed(crypto_sign_SEEDBYTES, 0);
  randombytes_buf(seed.data(), seed.size());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const std::string line = base::Hex(seed) + "\n";
  const bool written = fd >= 0 &&
                       write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                       fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!written) {
    if (fd >= 0) unlink(path.c_str());  // half a key
    return absl::FailedPreconditionError(StrCat(
        path, ": ", std::strerror(error), error == EEXIST ? "; a key is never overwritten" : ""));
  }
  return WriteWhole(path + ".pub", base::Hex(FromSeed(seed).public_key) + "\n");
}

absl::StatusOr<std::string> ReadKey(const std::string& path) {
  struct stat about {};
  if (stat(path.c_str(), &about) == 0 && (about.st_mode & 077) != 0)
    return absl::PermissionDeniedError(StrCat(path, ": others may read this key; chmod 600 it"));
  return ReadHex(path, crypto_sign_SEEDBYTES);
}

absl::StatusOr<std::string> ReadPublicKey(const std::string& path) {
  return ReadHex(path, crypto_sign_PUBLICKEYBYTES);
}

absl::StatusOr<std::string> Pack(std::vector<File> files, std::string_view campaign_id,
                                 std::string_view audience, std::string_view seed) {
  const Pair key = seed.empty() ? Pair{} : FromSeed(seed);
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.name < b.name; });
  const std::string manifest = Manifest(files, campaign_id, audience, base::Hex(key.public_key));
  if (!seed.empty()) {
    std::string signature(crypto_sign_BYTES, 0);
    crypto_sign_detached(reinterpret_cast<unsigned char*>(signature.data()), nullptr,
                         reinterpret_cast<const unsigned char*>(manifest.data()), manifest.size(),
                         reinterpret_cast<const unsigned char*>(key.secret_key.data()));
    files.push_back({kSignature, base::Hex(signature) + "\n"});
  }
  files.push_back({kManifest, manifest});

  std::string zip;
  const std::unique_ptr<archive, int (*)(archive*)> out(archive_write_new(), archive_write_free);
  archive_write_set_format_zip(out.get());
  archive_write_set_bytes_per_block(out.get(), 0);
  const auto append = [](archive*, void* to, const void* bytes, size_t n) -> la_ssize_t {
    static_cast<std::string*>(to)->append(static_cast<const char*>(bytes), n);
    return static_cast<la_ssize_t>(n);
  };
  bool fine = archive_write_open(out.get(), &zip, nullptr, append, nullptr) == ARCHIVE_OK;
  for (const File& f : files) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> e(archive_entry_new(),
                                                                     archive_entry_free);
    archive_entry_set_pathname(e.get(), f.name.c_str());
    archive_entry_set_size(e.get(), static_cast<la_int64_t>(f.bytes.size()));
    archive_entry_set_filetype(e.get(), AE_IFREG);
    archive_entry_set_perm(e.get(), 0644);
    archive_entry_set_mtime(e.get(), 315'532'800, 0);  // 1980, where ZIP begins: no clock
    fine = fine && archive_write_header(out.get(), e.get()) == ARCHIVE_OK &&
           archive_write_data(out.get(), f.bytes.data(), f.bytes.size()) ==
               static_cast<la_ssize_t>(f.bytes.size());
  }
  if (!fine || archive_write_close(out.get()) != ARCHIVE_OK)
    return absl::InternalError(StrCat("archive: ", archive_error_string(out.get())));
  return zip;
}

absl::StatusOr<Verified> Verify(std::string_view zip, std::string_view expected) {
  auto files = Unpack(zip);
  if (!files.ok()) return files.status();
  std::map<std::string, const File*> by_name;
  for (const File& f : *files) {
    if (!by_name.emplace(f.name, &f).second)
      return absl::DataLossError(StrCat(f.name, ": is there twice"));
  }
  const auto manifest = by_name.find(kManifest);
  if (manifest == by_name.end())
    return absl::InvalidArgumentError("not an archive of a dossier: no manifest.json in it");
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::object listed;
  const auto text = [&](const char* key) {
    std::string_view v;
    return root[key].get(v) == simdjson::SUCCESS ? std::string(v) : std::string();
  };
  if (parser.parse(manifest->second->bytes).get(root) != simdjson::SUCCESS ||
      text("schema") != kSchema || root["files"].get(listed) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(StrCat("manifest.json: not ", kSchema));
  }
  Verified v{text("campaign"), text("audience"), text("version"), 0, text("signer"), false};
  for (const auto& [name, hash] : listed) {
    const auto it = by_name.find(std::string(name));
    if (it == by_name.end()) return absl::DataLossError(StrCat(std::string(name), ": is missing"));
    std::string_view want;
    if (hash.get(want) != simdjson::SUCCESS || want != Blake2b(it->second->bytes))
      return absl::DataLossError(StrCat(std::string(name), ": was changed"));
    by_name.erase(it);
    ++v.files;
  }
  const auto signature = by_name.find(kSignature);
  if (signature != by_name.end()) {
    const std::string key = Unhex(v.signer, crypto_sign_PUBLICKEYBYTES);
    std::string line = signature->second->bytes;
    if (!line.empty() && line.back() == '\n') line.pop_back();
    const std::string signed_by = Unhex(line, crypto_sign_BYTES);
    const std::string& what = manifest->second->bytes;
    if (key.empty() || signed_by.empty() ||
        crypto_sign_verify_detached(reinterpret_cast<const unsigned char*>(signed_by.data()),
                                    reinterpret_cast<const unsigned char*>(what.data()),
                                    what.size(),
                                    reinterpret_cast<const unsigned char*>(key.data())) != 0) {
      return absl::DataLossError("manifest.sig: does not sign this manifest: it was changed");
    }
    v.known = !expected.empty() && key == expected;
    by_name.erase(signature);
  } else if (!v.signer.empty()) {
    return absl::DataLossError("manifest.sig: is missing");
  }
  by_name.erase(kManifest);
  if (!by_name.empty()) return absl::DataLossError(StrCat(by_name.begin()->first, ": was added"));
  if (!expected.empty() && !v.known) {
    return absl::PermissionDeniedError(
        v.signer.empty() ? std::string("not signed") : StrCat("signed by another key: ", v.signer));
  }
  return v;
}

}  // namespace stillwatch::dossier
