// Versions of the policy: proposed, approved, active, rolled back.
#include <sodium.h>

#include <algorithm>

#include "state/impl.h"

namespace stillwatch::state {
namespace {

using base::StrCat;

std::string Hash(std::string_view text) {
  unsigned char hash[32];
  crypto_generichash(hash, sizeof hash, reinterpret_cast<const unsigned char*>(text.data()),
                     text.size(), nullptr, 0);
  char hex[65];
  sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
  return hex;
}

// More than approval_above accounts and no second person's word that covers as many.
bool NeedsApproval(const Policy& p, uint64_t touched, uint64_t above) {
  if (touched <= above) return false;
  return std::none_of(p.approvals.begin(), p.approvals.end(), [&](const Approval& a) {
    return a.person != p.proposed_by && touched / 2 <= a.touched;
  });
}

absl::Status Load(Db& db, int64_t version, Policy* p, uint64_t* above) {
  {
    Query q(db,
            "SELECT version, revision, status, text, hash, note, touched, approval_above, "
            "proposed_by, proposed_ms, activated_by, activated_ms FROM policies WHERE version = ?1",
            version);
    if (!q.Row()) {
      SW_RETURN_IF_ERROR(q.status());
      return absl::NotFoundError(StrCat("policy: there is no version ", version));
    }
    p->version = q.Int(0), p->revision = q.Int(1), p->status = q.Text(2), p->text = q.Text(3);
    p->hash = q.Text(4), p->note = q.Text(5), p->touched = q.Uint(6), *above = q.Uint(7);
    p->proposed_by = q.Text(8), p->proposed_ms = q.Int(9);
    p->activated_by = q.Text(10), p->activated_ms = q.Int(11);
  }
  Query q(db,
          "SELECT person, note, ms, touched FROM policy_approvals WHERE version = ?1 "
          "ORDER BY ms, person",
          version);
  while (q.Row()) p->approvals.push_back({q.Text(0), q.Text(1), q.Int(2), q.Uint(3)});
  SW_RETURN_IF_ERROR(q.status());
  p->needs_approval = NeedsApproval(*p, p->touched, *above);
  return absl::OkStatus();
}

// 0: none.
absl::Status Active(Db& db, int64_t* version) {
  Query q(db, "SELECT version FROM policy_activations ORDER BY id DESC LIMIT 1");
  *version = q.Row() ? q.Int(0) : 0;
  return q.status();
}

absl::Status ExpectActive(Db& db, int64_t expected) {
  int64_t active = 0;
  SW_RETURN_IF_ERROR(Active(db, &active));
  if (active == expected) return absl::OkStatus();
  return absl::AbortedError(StrCat("policy: version ", active, " is active, not ", expected,
                                   ": somebody changed it; look again"));
}

absl::Status SetStatus(Db& db, int64_t version, std::string_view status) {
  return Run(db, "UPDATE policies SET status = ?2, revision = revision + 1 WHERE version = ?1",
             version, status);
}

absl::Status Undecided(const Policy& p) {
  if (p.status == "proposed" || p.status == "approved") return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("policy: version ", p.version, " is ", p.status,
                                              "; propose it again to use it again"));
}

absl::Status SameRevision(const Policy& p, int64_t revision) {
  if (p.revision == revision) return absl::OkStatus();
  return absl::AbortedError(StrCat("policy: version ", p.version, " is at revision ", p.revision,
                                   ", not ", revision, ": somebody changed it; look again"));
}

}  // namespace

absl::StatusOr<Policy> State::Propose(std::string_view text, Impact impact, std::string_view note,
                                      std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("policy", text, kPolicyBytes, true));
  SW_RETURN_IF_ERROR(CheckText("note", note, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Policy p;
  uint64_t above = 0;
  SW_RETURN_IF_ERROR(impl_->Write(
      "policy", person, "policy.propose", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        const std::string hash = Hash(text);
        int64_t active = 0;
        SW_RETURN_IF_ERROR(Active(db, &active));
        {
          Query q(db, "SELECT hash FROM policies WHERE version = ?1", active);
          if (q.Row() && q.Text(0) == hash) {
            return absl::FailedPreconditionError(
                StrCat("policy: this is the text of version ", active, ", which is active"));
          }
          SW_RETURN_IF_ERROR(q.status());
        }
        SW_RETURN_IF_ERROR(
            Run(db,
                "INSERT INTO policies (revision, status, text, hash, note, touched, "
                "approval_above, proposed_by, proposed_ms, activated_by, activated_ms) "
                "VALUES (1, 'proposed', ?1, ?2, ?3, ?4, ?5, ?6, ?7, '', 0)",
                text, hash, note, impact.touched, impact.approval_above, person, record->time_ms));
        SW_RETURN_IF_ERROR(Load(db, db.last_id(), &p, &above));
        record->subject = StrCat("policy ", p.version);
        record->details = Details()
                              .Add("hash", hash)
                              .Add("touched", impact.touched)
                              .Add("needs_approval", p.needs_approval)
                              .Add("note", note)
                              .Done();
        return absl::OkStatus();
      }));
  return p;
}

absl::StatusOr<Policy> State::Approve(int64_t version, int64_t revision, uint64_t touched,
                                      std::string_view note, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("note", note, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Policy p;
  uint64_t above = 0;
  SW_RETURN_IF_ERROR(impl_->Write(
      "policy", person, "policy.approve", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Load(db, version, &p, &above));
        SW_RETURN_IF_ERROR(Undecided(p));
        if (p.proposed_by == person) {
          return absl::PermissionDeniedError(
              StrCat("policy: version ", version, " was proposed by ", person,
                     ", who cannot approve it too; another approver must"));
        }
        SW_RETURN_IF_ERROR(SameRevision(p, revision));
        SW_RETURN_IF_ERROR(
            Run(db, "INSERT OR REPLACE INTO policy_approvals VALUES (?1, ?2, ?3, ?4, ?5)", version,
                person, record->time_ms, touched, note));
        SW_RETURN_IF_ERROR(SetStatus(db, version, "approved"));
        record->subject = StrCat("policy ", version);
        record->details = Details()
                              .Add("hash", p.hash)
                              .Add("proposed_by", p.proposed_by)
                              .Add("touched", touched)
                              .Add("note", note)
                              .Done();
        p = {};
        return Load(db, version, &p, &above);
      }));
  return p;
}

absl::StatusOr<Policy> State::Activate(int64_t version, int64_t expected_active, Impact impact,
                                       std::string_view note, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("note", note, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Policy p;
  uint64_t above = 0;
  SW_RETURN_IF_ERROR(impl_->Write(
      "policy", person, "policy.activate", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(Load(db, version, &p, &above));
        SW_RETURN_IF_ERROR(Undecided(p));
        SW_RETURN_IF_ERROR(ExpectActive(db, expected_active));
        const uint64_t touched = std::max(p.touched, impact.touched);
        const uint64_t bar = std::min(above, impact.approval_above);
        if (NeedsApproval(p, touched, bar)) {
          return absl::PermissionDeniedError(
              p.approvals.empty()
                  ? StrCat("policy: version ", version, " touches ", touched, " accounts; above ",
                           bar, " a person other than ", p.proposed_by, " must approve it first")
                  : StrCat(
                        "policy: version ", version, " touches ", touched,
                        " accounts by now, more than twice what was approved; approve it again"));
        }
        if (expected_active != 0) SW_RETURN_IF_ERROR(SetStatus(db, expected_active, "superseded"));
        SW_RETURN_IF_ERROR(SetStatus(db, version, "active"));
        SW_RETURN_IF_ERROR(
            Run(db, "UPDATE policies SET activated_by = ?2, activated_ms = ?3 WHERE version = ?1",
                version, person, record->time_ms));
        SW_RETURN_IF_ERROR(Run(db,
                               "INSERT INTO policy_activations (version, kind, person, ms, note) "
                               "VALUES (?1, 'activate', ?2, ?3, ?4)",
                               version, person, record->time_ms, note));
        record->subject = StrCat("policy ", version);
        record->details = Details()
                              .Add("hash", p.hash)
                              .Add("before", expected_active)
                              .Add("touched", touched)
                              .Add("note", note)
                              .Done();
        p = {};
        return Load(db, version, &p, &above);
      }));
  return p;
}

absl::StatusOr<Policy> State::Rollback(int64_t expected_active, std::string_view note,
                                       std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("note", note, kNoteBytes, false));
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Policy p;
  uint64_t above = 0;
  SW_RETURN_IF_ERROR(impl_->Write(
      "policy", person, "policy.rollback", [&](Db& db, audit::AuditRecord* record) -> absl::Status {
        SW_RETURN_IF_ERROR(ExpectActive(db, expected_active));
        if (expected_active == 0)
          return absl::FailedPreconditionError(
              "policy: none is active; there is nothing to roll back");
        std::vector<int64_t> stack;
        {
          Query q(db, "SELECT version, kind FROM policy_activations ORDER BY id");
          while (q.Row()) {
            if (q.Text(1) == "activate")
              stack.push_back(q.Int(0));
            else if (!stack.empty())
              stack.pop_back();
          }
          SW_RETURN_IF_ERROR(q.status());
        }
        const int64_t before = stack.size() > 1 ? stack[stack.size() - 2] : 0;
        SW_RETURN_IF_ERROR(SetStatus(db, expected_active, "rolled back"));
        if (before != 0) SW_RETURN_IF_ERROR(SetStatus(db, before, "active"));
        SW_RETURN_IF_ERROR(Run(db,
                               "INSERT INTO policy_activations (version, kind, person, ms, note) "
                               "VALUES (?1, 'rollback', ?2, ?3, ?4)",
                               before, person, record->time_ms, note));
        record->subject = StrCat("policy ", expected_active);
        record->details = Details().Add("back_to", before).Add("note", note).Done();
        return before == 0 ? absl::OkStatus() : Load(db, before, &p, &above);
      }));
  return p;
}

absl::StatusOr<Policy> State::Withdraw(int64_t version, int64_t revision, std::string_view person) {
  SW_RETURN_IF_ERROR(CheckText("person", person, kNameBytes, true));
  Policy p;
  uint64_t above = 0;
  SW_RETURN_IF_ERROR(impl_->Write("policy", person, "policy.withdraw",
                                  [&](Db& db, audit::AuditRecord* record) -> absl::Status {
                                    SW_RETURN_IF_ERROR(Load(db, version, &p, &above));
                                    SW_RETURN_IF_ERROR(Undecided(p));
                                    SW_RETURN_IF_ERROR(SameRevision(p, revision));
                                    SW_RETURN_IF_ERROR(SetStatus(db, version, "withdrawn"));
                                    record->subject = StrCat("policy ", version);
                                    p = {};
                                    return Load(db, version, &p, &above);
                                  }));
  return p;
}

absl::StatusOr<Policy> State::GetPolicy(int64_t version) {
  Policy p;
  uint64_t above = 0;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) { return Load(db, version, &p, &above); }));
  return p;
}

absl::StatusOr<std::optional<Policy>> State::ActivePolicy() {
  std::optional<Policy> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    int64_t active = 0;
    uint64_t above = 0;
    SW_RETURN_IF_ERROR(Active(db, &active));
    return active == 0 ? absl::OkStatus() : Load(db, active, &out.emplace(), &above);
  }));
  return out;
}

absl::StatusOr<Rows<Policy>> State::ListPolicies(Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<Policy> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    std::vector<int64_t> versions;
    {
      Query q(db, "SELECT count(*) FROM policies");
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    {
      Query q(db, "SELECT version FROM policies ORDER BY version DESC LIMIT ?1 OFFSET ?2",
              page.limit, page.offset);
      while (q.Row()) versions.push_back(q.Int(0));
      SW_RETURN_IF_ERROR(q.status());
    }
    for (const int64_t v : versions) {
      uint64_t above = 0;
      SW_RETURN_IF_ERROR(Load(db, v, &out.rows.emplace_back(), &above));
      out.rows.back().text.clear();
    }
    return absl::OkStatus();
  }));
  return out;
}

absl::StatusOr<Rows<Activation>> State::ListActivations(Page page) {
  SW_RETURN_IF_ERROR(CheckPage(page));
  Rows<Activation> out;
  SW_RETURN_IF_ERROR(impl_->Read([&](Db& db) -> absl::Status {
    {
      Query q(db, "SELECT count(*) FROM policy_activations");
      if (q.Row()) out.total = q.Uint(0);
      SW_RETURN_IF_ERROR(q.status());
    }
    Query q(db,
            "SELECT id, version, ms, kind, person, note FROM policy_activations ORDER BY id DESC "
            "LIMIT ?1 OFFSET ?2",
            page.limit, page.offset);
    while (q.Row())
      out.rows.push_back({q.Int(0), q.Int(1), q.Int(2), q.Text(3), q.Text(4), q.Text(5)});
    return q.status();
  }));
  return out;
}

}  // namespace stillwatch::state
