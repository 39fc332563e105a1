// What leaves only when two persons answer for it: proposals, decisions, and the bytes themselves.
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/hex.h"
#include "base/write_file.h"
#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

constexpr const char* kColumns =
    "SELECT id, revision, kind, status, campaign_id, campaign_name, audience, issuer, note, "
    "proposed_by, proposed_ms, decided_by, decided_ms, digest, summary FROM exports ";

Export ExportOf(const Query& q) {
  Export e;
  e.id = q.Int(0), e.revision = q.Int(1), e.kind = q.Text(2), e.status = q.Text(3);
  e.campaign_id = q.Text(4), e.campaign_name = q.Text(5), e.audience = q.Text(6);
  e.issuer = q.Text(7), e.note = q.Text(8), e.proposed_by = q.Text(9), e.proposed_ms = q.Int(10);
  e.decided_by = q.Text(11), e.decided_ms = q.Int(12), e.digest = q.Text(13),
  e.summary = q.Text(14);
  return e;
}

absl::Status Find(Db& db, int64_t id, Export* out) {
  Query q(db, StrCat(kColumns, "WHERE id = ?1").c_str(), id);
  if (q.Row()) {
    *out = ExportOf(q);
    return absl::OkStatus();
  }
  SW_RETURN_IF_ERROR(q.status());
  return absl::NotFoundError(StrCat("export: there is none with number ", id));
}

void Describe(const Export& e, audit::AuditRecord* record) {
  record->subject = e.kind == "campaign" ? StrCat("campaign ", e.campaign_id)
                                         : StrCat(e.kind, " for ", e.audience);
  record->details = Details()
                        .Add("export", e.id)
                        .Add("campaigns", e.campaign_id)
                        .Add("audience", e.audience)
                        .Add("issuer", e.issuer)
                        .Add("note", e.note)
                        .Add("proposed_by", e.proposed_by)
                        .Add("blake2b", e.digest)
                        .Done();
  record->details.pop_back();
  base::StrAppend(&record->details, ",\"release\":", e.summary.empty() ? "null" : e.summary, "}");
}

// One file is ID.json; several are a folder ID.
fs::path PathOf(const std::string& dir, int64_t id, const ExportFile* file) {
  const fs::path all = fs::path(dir) / "exports";
  return file != nullptr && file->name.empty() ? all / StrCat(id, ".json")
         : file == nullptr                     ? all / std::to_string(id)
                                               : all / std::to_string(id) / file->name;
}

// Nothing of an export's files is left.
void Forget(const std::string& dir, int64_t id) {
  std::error_code ignored;
  const ExportFile one;
  fs::remove(PathOf(dir, id, &one), ignored);
  fs::remove_all(PathOf(dir, id, nullptr), ignored);
}

}  // namespace

std::string ExportDigest(const std::vector<ExportFile>& files) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, 32);
  std::vector<const ExportFile*> ordered;
  for (const ExportFile& f : files) ordered.push_back(&f);
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto* a, const auto* b) { return a->name < b->name; });
  const auto add = [&](std::string_view bytes) {
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(bytes.data()),
                              bytes.size());
  };
  for (const ExportFile* f : ordered) {
    if (!f->name.empty()) add(StrCat(f->name, "\n", f->bytes.size(), "\n"));
    add(f->bytes);
  }
  std::string hash(32, '\0');
  crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(hash.data()), hash.size());
  return base::Hex(std::string_view(hash));
}

absl::StatusOr<Export> State::ProposeExport(Export e, const std::vector<ExportFile>& files) {
  for (const auto& [field, value] : {std::pair<const char*, const std::string*>{"kind", &e.kind},
                                     {"audience", &e.audience},
                                     {"person", &e.proposed_by}})
    SW_RETURN_IF_ERROR(CheckText(field, *value, kNameBytes, true));
  for (const auto& [field, value] :
       {std::pair<const char*, const std::string*>{"campaign", &e.campaign_id},
        {"issuer", &e.issuer},
        {"name", &e.campaign_name}})
    SW_RETURN_IF_ERROR(CheckText(field, *value, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("note", e.note, kNoteBytes, true));
  if (!files.empty()) e.digest = ExportDigest(files);
  e.status = "proposed";
  e.revision = 1;
  int64_t gone = 0;
  SW_RETURN_IF_ERROR(impl_->Write(
      "exports", e.proposed_by, "share.propose",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        e.proposed_ms = record->time_ms;
        {
          Query q(db,
                  "SELECT count(*), coalesce(min(CASE WHEN status != 'proposed' THEN id END), 0) "
                  "FROM exports");
          if (q.Row() && q.Uint(0) >= kExportsKept) {
            if ((gone = q.Int(1)) == 0)
              return absl::ResourceExhaustedError(
                  StrCat("exports: ", kExportsKept, " wait for a decision already"));
          }
          SW_RETURN_IF_ERROR(q.status());
        }
        if (gone != 0) SW_RETURN_IF_ERROR(Run(db, "DELETE FROM exports WHERE id = ?1", gone));
        SW_RETURN_IF_ERROR(Run(
            db,
            "INSERT INTO exports (revision, kind, status, campaign_id, campaign_name, audience, "
            "issuer, note, proposed_by, proposed_ms, decided_by, decided_ms, digest, summary) "
            "VALUES (1, ?1, 'proposed', ?2, ?3, ?4, ?5, ?6, ?7, ?8, '', 0, ?9, ?10)",
            e.kind, e.campaign_id, e.campaign_name, e.audience, e.issuer, e.note, e.proposed_by,
            e.proposed_ms, e.digest, e.summary));
        e.id = db.last_id();
        Forget(options_.dir, e.id);
        for (const ExportFile& f : files) {
          const fs::path path = PathOf(options_.dir, e.id, &f);
          std::error_code ignored;
          fs::create_directories(path.parent_path(), ignored);
          if (const int error = base::WriteFileDurably(path.string(), f.bytes); error != 0)
            return absl::UnavailableError(
                StrCat(path.string(), ": cannot be written: ", std::strerror(error)));
        }
        Describe(e, record);
        return absl::OkStatus();
      }));
  if (gone != 0) Forget(options_.dir, gone);
  return e;
}

absl::StatusOr<Export> State::DecideExport(int64_t id, int64_t expected, bool approve,
                                           std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Export e;
  SW_RETURN_IF_ERROR(impl_->Write(
      "exports", person, approve ? "share.approve" : "share.reject",
      [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Find(db, id, &e));
        if (e.revision != expected || e.status != "proposed")
          return absl::AbortedError(StrCat("export ", id, ": is ", e.status,
                                           e.decided_by.empty() ? "" : " by ", e.decided_by,
                                           "; look again"));
        if (approve && e.proposed_by == person)
          return absl::PermissionDeniedError(StrCat("export ", id, ": was proposed by ", person,
                                                    ", who cannot approve it too; another "
                                                    "approver must"));
        e.status = approve ? "approved" : "rejected";
        e.decided_by = person;
        e.decided_ms = record->time_ms;
        ++e.revision;
        SW_RETURN_IF_ERROR(
            Run(db,
                "UPDATE exports SET revision = ?2, status = ?3, decided_by = ?4, decided_ms = ?5 "
                "WHERE id = ?1",
                id, e.revision, e.status, e.decided_by, e.decided_ms));
        Describe(e, record);
        return absl::OkStatus();
      }));
  return e;
}

absl::StatusOr<Export> State::GetExport(int64_t id) {
  Export e;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) { return Find(db, id, &e); }));
  return e;
}

absl::StatusOr<std::vector<Export>> State::Exports() {
  std::vector<Export> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) {
    Query q(db, StrCat(kColumns, "ORDER BY id DESC").c_str());
    while (q.Row()) out.push_back(ExportOf(q));
    return q.status();
  }));
  return out;
}

absl::StatusOr<Export> State::ApprovedExport(std::string_view kind, std::string_view digest) {
  Export e;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    Query q(db,
            StrCat(kColumns,
                   "WHERE digest = ?1 AND (kind = 'comparison') = ?2 AND status = 'approved' AND "
                   "decided_ms > ?3 ORDER BY id DESC LIMIT 1")
                .c_str(),
            digest, kind == "comparison", impl_->now() - kApprovalMs);
    if (q.Row()) {
      e = ExportOf(q);
      return absl::OkStatus();
    }
    SW_RETURN_IF_ERROR(q.status());
    return absl::FailedPreconditionError("no two persons answer for it");
  }));
  return e;
}

absl::StatusOr<std::vector<ExportFile>> State::ReadExport(int64_t id) {
  auto e = GetExport(id);
  if (!e.ok()) return e.status();
  if (e->status != "approved")
    return absl::FailedPreconditionError(
        StrCat("export ", id, ": is ", e->status, "; only what another person approved leaves"));
  std::vector<ExportFile> files;
  const auto add = [&](const fs::path& path, std::string name) {
    std::ifstream in(path, std::ios::binary);
    if (in)
      files.push_back({std::move(name), std::string((std::istreambuf_iterator<char>(in)), {})});
  };
  std::error_code error;
  const ExportFile one;
  add(PathOf(options_.dir, id, &one), "");
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(PathOf(options_.dir, id, nullptr), error))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) add(path, path.filename().string());
  if (files.empty()) return absl::NotFoundError(StrCat("export ", id, ": there is no file of it"));
  // What was approved, or nothing.
  if (ExportDigest(files) != e->digest)
    return absl::FailedPreconditionError(
        StrCat("export ", id, ": its file was changed after it was approved; propose it again"));
  return files;
}

absl::StatusOr<std::vector<ExportFile>> State::TakeExport(int64_t id, std::string_view person) {
  auto files = ReadExport(id);
  if (!files.ok()) return files.status();
  auto e = GetExport(id);
  if (!e.ok()) return e.status();
  // Who took it away is in the log before it goes.
  SW_RETURN_IF_ERROR(
      impl_->Write("exports", person, "share.download", [&](Db&, audit::AuditRecord* record) {
        Describe(*e, record);
        return absl::OkStatus();
      }));
  return files;
}

}  // namespace stillwatch::state
