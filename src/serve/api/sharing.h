// Sharing a campaign: what would leave for an audience, and exports that two persons answer for.
// Internal to src/serve/api; thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "serve/api/api.h"

namespace stillwatch::serve::api {

inline constexpr size_t kExportsKept = 500;  // proposals and what became of them

class Sharing {
 public:
  explicit Sharing(const ApiContext* context) : c_(*context) {}

  HttpReply Preview(const HttpRequest& r) const;  // ?campaign=&audience=
  HttpReply Propose(const HttpRequest& r);        // {campaign_id, audience, issuer, note}
  HttpReply List(const HttpRequest& r) const;
  HttpReply Decide(const HttpRequest& r, bool approve);
  HttpReply File(const HttpRequest& r) const;  // of an approved one: the bundle

 private:
  struct Export {
    int64_t id = 0, revision = 0, proposed_ms = 0, decided_ms = 0;
    std::string campaign_id, campaign_name, audience, issuer, note, status;
    std::string proposed_by, decided_by, digest, summary;
  };
  absl::StatusOr<std::vector<Export>> Read(int64_t* revision) const;
  absl::Status Write(const std::vector<Export>& all, int64_t revision) const;
  absl::Status Record(const char* action, const Export& e, std::string_view person) const;
  std::string PathOf(int64_t id) const;
  static void Tell(const Export& e, std::string* out);

  const ApiContext& c_;
  std::mutex mutex_;  // one change at a time; other processes are told apart by the note's revision
};

}  // namespace stillwatch::serve::api
