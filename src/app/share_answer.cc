#include "app/share_answer.h"

#include <cstdio>
#include <memory>

#include "app/command.h"
#include "app/config.h"
#include "app/share.h"
#include "app/share_release.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

absl::Status Decide(const Where& where, const std::string& token_file, int64_t id, bool approve) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto person =
      PersonByToken(&*local, token_file, approve ? state::Role::kApprover : state::Role::kAnalyst);
  if (!person.ok()) return person.status();
  auto seen = local->state->GetExport(id);
  if (!seen.ok()) return seen.status();
  // The service asks the findings again; here nobody can.
  if (approve && seen->kind == "campaign")
    return absl::FailedPreconditionError(
        StrCat("export ", id,
               ": was proposed in the service, which looks at the findings again when it is "
               "approved; approve it there"));
  auto e = local->state->DecideExport(id, seen->revision, approve, *person);
  if (!e.ok()) return e.status();
  std::printf("export %lld: %s by %s\n", static_cast<long long>(id), e->status.c_str(),
              e->decided_by.c_str());
  return absl::OkStatus();
}

absl::Status List(const Where& where) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto all = local->state->Exports();
  if (!all.ok()) return all.status();
  std::printf("%4s  %-9s %-10s %-12s %-16s %-16s %s\n", "id", "status", "kind", "audience",
              "proposed by", "decided by", "what");
  for (const auto& e : *all) {
    std::printf("%4lld  %-9s %-10s %-12s %-16s %-16s %s\n", static_cast<long long>(e.id),
                e.status.c_str(), e.kind.c_str(), e.audience.c_str(), e.proposed_by.c_str(),
                e.decided_by.c_str(), e.campaign_name.c_str());
  }
  return absl::OkStatus();
}

absl::Status Fetch(const Where& where, int64_t id, const std::string& to) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto files = local->state->TakeExport(id, local->actor);
  if (!files.ok()) return files.status();
  if (absl::Status s = WriteExport(to, *files); !s.ok()) return s;
  if (to != "-") std::printf("%s\n", to.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddAlone(CLI::App* sub, std::string* alone) {
  sub->add_option("--alone", *alone,
                  "why one person is enough: nobody approves it, which the audit log says");
}

void AddPersonToken(CLI::App* sub, std::string* file) {
  sub->add_option("--token-file", *file,
                  "file with the person's token; default: the variable STILLWATCH_TOKEN");
}

absl::StatusOr<std::string> PersonByToken(LocalState* local, const std::string& file,
                                          state::Role role) {
  auto token = ReadSecret(file.empty() ? Secret{.env = "STILLWATCH_TOKEN", .file = {}}
                                       : Secret{.env = {}, .file = file},
                          8);
  if (!token.ok()) return token.status();
  if (absl::Status s = local->state->RefreshTokens(); !s.ok()) return s;
  const auto who = local->state->tokens().Find(*token, NowMs());
  if (!who)
    return absl::PermissionDeniedError("the token is unknown, revoked or expired in this folder");
  if ((who->roles & role) == 0)
    return absl::PermissionDeniedError(
        StrCat("the token of ", who->person, " lacks the role ", state::RoleName(role)));
  return who->person;
}

absl::Status Answered(LocalState* local, std::string_view kind, const std::string& digest,
                      const std::string& what, const std::string& alone) {
  int64_t id = 0;
  if (alone.empty()) {
    auto e = local->state->ApprovedExport(kind, digest);
    if (!e.ok()) {
      return absl::FailedPreconditionError(StrCat(
          what, ": ", std::string(e.status().message()), "; `stillwatch share ",
          kind == "comparison" ? "compare propose" : "export",
          "` proposes it and another person approves it, or --alone REASON takes it upon you"));
    }
    id = e->id;
  }
  std::string details;
  base::JsonWriter w(&details);
  w.BeginObject();
  w.Key("blake2b"), w.String(digest);
  if (alone.empty())
    w.Key("export"), w.Int(id);
  else
    w.Key("why"), w.String(alone);
  w.EndObject();
  return local->audit->Append(
      {NowMs(), local->actor, alone.empty() ? "share.leave" : "share.alone", what, details});
}

absl::Status ProposeExport(LocalState* local, const std::string& token_file, state::Export proposal,
                           const std::vector<state::ExportFile>& files) {
  if (proposal.note.empty())
    return absl::InvalidArgumentError(
        "--note: say why it should leave, for the person who approves it (or --alone REASON takes "
        "it upon you)");
  auto person = PersonByToken(local, token_file, state::Role::kAnalyst);
  if (!person.ok()) return person.status();
  proposal.proposed_by = *person;
  auto e = local->state->ProposeExport(std::move(proposal), files);
  if (!e.ok()) return e.status();
  std::printf("export %lld is proposed; another person: stillwatch share approve %lld\n",
              static_cast<long long>(e->id), static_cast<long long>(e->id));
  return absl::OkStatus();
}

void AddShareAnswer(CLI::App* share, int* code) {
  auto where = std::make_shared<Where>();
  auto token = std::make_shared<std::string>(), to = std::make_shared<std::string>();
  auto id = std::make_shared<int64_t>(0);
  for (const bool approve : {true, false}) {
    auto* sub = share->add_subcommand(
        approve ? "approve" : "reject",
        approve ? "let leave what another person proposed" : "do not let leave what was proposed");
    sub->add_option("ID", *id, "as `share exports` shows it")->required();
    AddPersonToken(sub, token.get());
    AddPlace(sub, where.get());
    sub->footer(StrCat("Example: stillwatch share ", approve ? "approve" : "reject", " 7"));
    sub->callback([=] { *code = Report(Decide(*where, *token, *id, approve)); });
  }
  auto* list =
      share->add_subcommand("exports", "what was proposed to leave, and what became of it");
  AddPlace(list, where.get());
  list->footer("Example: stillwatch share exports");
  list->callback([=] { *code = Report(List(*where)); });
  auto* fetch = share->add_subcommand("fetch", "write what was approved; recorded before that");
  fetch->add_option("ID", *id, "as `share exports` shows it")->required();
  fetch->add_option("--to", *to, "file to write; folder of a misp-feed; - for stdout")->required();
  AddPlace(fetch, where.get());
  fetch->footer("Example: stillwatch share fetch 7 --to bundle.json");
  fetch->callback([=] { *code = Report(Fetch(*where, *id, *to)); });
}

}  // namespace stillwatch::app
