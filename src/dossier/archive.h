// A dossier as one file that can be handed on: a ZIP with a manifest of every file's hash, signed
// with Ed25519 (RFC 8032, libsodium).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace stillwatch::dossier {

inline constexpr size_t kArchiveFilesMax = 64;
inline constexpr size_t kArchiveBytesMax = size_t{512} << 20;  // of all files, unpacked

struct File {
  std::string name;  // no folders
  std::string bytes;
};

// A seed of 32 bytes as 64 hexadecimal digits in a file that only its owner may read, and beside it
// FILE.pub with the public key. FailedPrecondition when FILE is there already.
absl::Status MakeKey(const std::string& path);
// The seed. PermissionDenied when others may read the file.
absl::StatusOr<std::string> ReadKey(const std::string& path);
// A public key in 64 hexadecimal digits, as MakeKey writes it: its 32 bytes.
absl::StatusOr<std::string> ReadPublicKey(const std::string& path);

// The archive's bytes, the same for the same arguments. `seed` empty: not signed.
absl::StatusOr<std::string> Pack(std::vector<File> files, std::string_view campaign_id,
                                 std::string_view audience, std::string_view seed);

struct Verified {
  std::string campaign_id, audience, version;
  size_t files = 0;
  std::string signer;  // the public key, hexadecimal; empty: not signed
  bool known = false;  // it is the one that was asked for
};
// Every file is in the manifest with its hash and nothing else is there, and the signature is that
// of the key that the archive names. DataLoss with the file when something was changed, removed or
// added; InvalidArgument when it is no such archive. `expected`: 32 bytes or empty;
// PermissionDenied when the archive is signed by another key or by none.
absl::StatusOr<Verified> Verify(std::string_view archive, std::string_view expected);

}  // namespace stillwatch::dossier
