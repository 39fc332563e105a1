// Who may compare with us, and how: one YAML file.
//   name: provider-a            # ours; for people
//   epoch_days: 7               # rations and keys hold for so long, from a Monday
//   certificate: a.pem          # ours, for the network (TLS, server and client)
//   key: a.key
//   peers:
//     - name: provider-b
//       key: 64 hex digits      # what `stillwatch share compare key` prints there
//       certificate: b.pem      # theirs; exactly this one is taken, as server and as client
//       url: https://b.example:8443
//       count: true             # may be asked, and asked by, how many
//       which: false            # and which
//       reliability: B          # of what they say, Admiralty A to F
//       items_per_epoch: 100000 # of each family that they may ask about; default: by family
//       runs_per_epoch: 50      # that are answered
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "share/psi/group.h"
#include "share/psi/message.h"

namespace stillwatch::share::compare {

inline constexpr size_t kPeersMax = 256;

struct Peer {
  std::string name;
  psi::Bytes32 key{};  // Ed25519
  std::string certificate, url;
  bool count = false, which = false;
  char reliability = 'F';
  uint64_t items_per_epoch = 0;  // 0: what psi::Families() says
  uint64_t runs_per_epoch = 50;

  bool Agrees(psi::Question q) const { return q == psi::Question::kCount ? count : which; }
};

struct Peers {
  std::string path;  // of the file
  std::string name;
  int64_t epoch_days = 7;
  std::string certificate, key;  // PEM files; relative ones are taken from the file's folder
  std::vector<Peer> all;

  const Peer* Named(std::string_view name) const;
  const Peer* WithKey(const psi::Bytes32& key) const;
};

// InvalidArgument with file, line and what is expected: an unknown key too.
absl::StatusOr<Peers> ReadPeers(const std::string& path);

}  // namespace stillwatch::share::compare
