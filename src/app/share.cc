// share: what one provider tells another. Each group of verbs has a file of its own.
#include "app/share.h"

#include "app/command.h"

namespace stillwatch::app {

void AddShare(CLI::App& app, int* code) {
  auto* sub =
      app.add_subcommand("share", "Tell others what they can act on, and act on what they tell");
  sub->require_subcommand(1);
  AddShareExport(sub, code);
  AddShareAnswer(sub, code);
  AddShareCompare(sub, code);
  AddShareTaxii(sub, code);
  AddShareImport(sub, code);
}

}  // namespace stillwatch::app
