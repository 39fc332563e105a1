// stillwatch token create | revoke | list: on the service's folder, for who may write there. It is
// how the first token comes to be.
#include <cstdio>

#include "app/command.h"
#include "app/state_dir.h"
#include "base/str.h"
#include "base/time.h"

namespace stillwatch::app {
namespace {

using base::StrCat;

absl::Status Create(const Where& where, const std::string& person, const std::string& label,
                    const std::vector<std::string>& names, const std::string& expires) {
  state::Roles roles = 0;
  for (const std::string& n : names) {
    const state::Roles role = state::ParseRole(n);
    if (role == 0) {
      return absl::InvalidArgumentError(
          StrCat("--role ", n, ": expected ingest, decide, analyst, approver, admin or share"));
    }
    roles |= role;
  }
  int64_t expires_ms = 0;
  if (!expires.empty()) {
    const auto ms = base::ParseRfc3339(expires);
    if (!ms)
      return absl::InvalidArgumentError("--expires: expected a time like 2026-12-31T00:00:00Z");
    expires_ms = *ms;
  }
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto made = local->state->CreateToken(person, label, roles, expires_ms, local->actor);
  if (!made.ok()) return made.status();
  std::printf("%s\n", made->token.c_str());
  std::fprintf(stderr, "token %s of %s (%s); it is kept nowhere, so store it now\n",
               made->info.id.c_str(), person.c_str(), state::RoleNames(roles).c_str());
  return absl::OkStatus();
}

absl::Status List(const Where& where) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto all = local->state->ListTokens();
  if (!all.ok()) return all.status();
  std::printf("%-10s %-24s %-36s %-26s %s\n", "id", "person", "roles", "until", "label");
  for (const auto& t : *all) {
    const std::string until = t.revoked_ms != 0   ? StrCat("revoked by ", t.revoked_by)
                              : t.expires_ms != 0 ? base::FormatRfc3339(t.expires_ms)
                                                  : std::string("revoked");
    std::printf("%-10s %-24s %-36s %-26s %s\n", t.id.c_str(), t.person.c_str(),
                state::RoleNames(t.roles).c_str(),
                t.revoked_ms == 0 && t.expires_ms == 0 ? "-" : until.c_str(), t.label.c_str());
  }
  return absl::OkStatus();
}

absl::Status Revoke(const Where& where, const std::string& id) {
  auto local = OpenLocalState(where);
  if (!local.ok()) return local.status();
  auto revoked = local->state->RevokeToken(id, local->actor);
  if (!revoked.ok()) return revoked.status();
  std::printf("token %s of %s is revoked; a running service refuses it within a second\n",
              id.c_str(), revoked->person.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddToken(CLI::App& app, int* code) {
  auto* sub =
      app.add_subcommand("token", "Make, list and revoke API tokens on the service's folder");
  sub->require_subcommand(1);
  auto where = std::make_shared<Where>();
  auto person = std::make_shared<std::string>(), label = std::make_shared<std::string>(),
       expires = std::make_shared<std::string>(), id = std::make_shared<std::string>();
  auto roles = std::make_shared<std::vector<std::string>>();
  auto* create = sub->add_subcommand("create", "Make a token and print it, this once");
  create->add_option("PERSON", *person, "whose it is: one person or one machine")->required();
  create
      ->add_option("--role", *roles,
                   "ingest, decide, analyst, approver, admin or share; may be repeated")
      ->required();
  create->add_option("--label", *label, "what it is for");
  create->add_option("--expires", *expires, "RFC 3339; default: it does not");
  AddPlace(create, where.get());
  create->footer("Example: stillwatch token create ada --role analyst --role approver");
  create->callback([=] { *code = Report(Create(*where, *person, *label, *roles, *expires)); });
  auto* list = sub->add_subcommand("list", "Tokens, without their secrets");
  AddPlace(list, where.get());
  list->footer("Example: stillwatch token list");
  list->callback([=] { *code = Report(List(*where)); });
  auto* revoke = sub->add_subcommand("revoke", "Revoke a token");
  revoke->add_option("ID", *id, "as `token list` shows it")->required();
  AddPlace(revoke, where.get());
  revoke->footer("Example: stillwatch token revoke ab3cd5ef");
  revoke->callback([=] { *code = Report(Revoke(*where, *id)); });
}

}  // namespace stillwatch::app
