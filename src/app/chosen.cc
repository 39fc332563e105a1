#include "app/chosen.h"

#include "base/str.h"

namespace stillwatch::app {

absl::StatusOr<std::vector<const model::Campaign*>> ChosenCampaigns(
    const model::Findings& findings, const std::vector<std::string>& names, const std::string& out,
    bool suspected) {
  std::vector<const model::Campaign*> chosen;
  for (const model::Campaign& c : findings.campaigns)
    if (names.empty() && (c.verdict == model::Verdict::kDistillation ||
                          (suspected && c.verdict == model::Verdict::kUnresolved)))
      chosen.push_back(&c);
  for (const std::string& name : names) {
    const size_t before = chosen.size();
    for (const model::Campaign& c : findings.campaigns)
      if (c.id == name || c.name == name) chosen.push_back(&c);
    if (chosen.size() == before)
      return absl::NotFoundError(
          base::StrCat(name, ": no campaign of ", out, " has this id or name"));
  }
  return chosen;
}

}  // namespace stillwatch::app
