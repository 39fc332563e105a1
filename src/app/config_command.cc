// `stillwatch config`: check a configuration, make a token for it.
#include <cstdio>

#include "app/command.h"
#include "app/config.h"
#include "base/str.h"
#include "serve/http/tokens.h"

namespace stillwatch::app {

void AddConfig(CLI::App& app, int* code) {
  auto* sub = app.add_subcommand("config", "Check the configuration of serve, make tokens");
  sub->require_subcommand(1);
  auto* check =
      sub->add_subcommand("check", "Print what a file amounts to, or what is wrong with it");
  auto file = std::make_shared<std::string>();
  check->add_option("FILE", *file, "YAML; without it the defaults are printed");
  check->footer("Example: stillwatch config check /etc/stillwatch/stillwatch.yaml");
  check->callback([=] {
    Config config;
    if (!file->empty()) {
      auto read = ReadConfig(*file);
      if (!read.ok()) {
        *code = Report(read.status());
        return;
      }
      config = *read;
    }
    const std::string text = PrintConfig(config);
    std::fwrite(text.data(), 1, text.size(), stdout);
    *code = kOk;
  });
  auto* token = sub->add_subcommand("token", "Make a token and the entry for it; it is shown once");
  auto person = std::make_shared<std::string>();
  auto roles = std::make_shared<std::vector<std::string>>();
  token->add_option("--person", *person, "whose it is: a person or a machine")->required();
  token
      ->add_option("--role", *roles,
                   "ingest, decide, analyst, approver, admin or share; may be repeated")
      ->required();
  token->footer("Example: stillwatch config token --person gateway-1 --role decide");
  token->callback([=] {
    std::string list;
    for (const auto& r : *roles) {
      if (!serve::RoleOf(r)) {
        *code = Report(absl::InvalidArgumentError(base::StrCat(
            "--role ", r, ": expected ingest, decide, analyst, approver, admin or share")));
        return;
      }
      list += (list.empty() ? "" : ", ") + r;
    }
    std::string quoted;
    for (const char c : *person) quoted += c == '\'' ? std::string("''") : std::string(1, c);
    const std::string made = serve::NewToken();
    std::printf(
        "Token (kept nowhere, give it to %s): %s\n\ntokens:\n  - person: '%s'\n    roles: [%s]\n"
        "    hash: %s\n",
        person->c_str(), made.c_str(), quoted.c_str(), list.c_str(),
        serve::TokenHashHex(serve::HashToken(made)).c_str());
    *code = kOk;
  });
}

}  // namespace stillwatch::app
