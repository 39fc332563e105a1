#include "dossier/package.h"

#include "base/json.h"
#include "base/str.h"
#include "dossier/outputs.h"
#include "dossier/pdf.h"

namespace stillwatch::dossier {
namespace {

// Spreadsheets run what begins like a formula; a quote in front makes it text.
void Cell(std::string_view v, std::string* out) {
  const bool formula =
      !v.empty() && std::string_view("=+-@\t\r").find(v[0]) != std::string_view::npos;
  AppendCsv(formula ? base::StrCat("'", v) : std::string(v), out);
}

std::string EvidenceCsv(const model::Campaign& c) {
  std::string out = "family,bits,statement,null,exchanges,query\n";
  for (const auto& e : c.evidence) {
    base::StrAppend(&out, model::FamilyName(e.family), ",");
    base::AppendJsonNumber(e.bits, &out);
    std::string ids;
    for (const auto& id : e.exchanges) base::StrAppend(&ids, ids.empty() ? "" : " ", id);
    for (const std::string& v : {e.statement, e.null, ids, e.query}) {
      out.push_back(',');
      Cell(v, &out);
    }
    out.push_back('\n');
  }
  return out;
}

std::string TimelineCsv(const model::Campaign& c) {
  std::string out = "day,exchanges,accounts,model,of_model\n";
  for (const auto& d : c.timeline) {
    for (const auto& [model, n] : d.models) {
      base::StrAppend(&out, d.day, ",", d.exchanges, ",", d.accounts, ",");
      Cell(model, &out);
      base::StrAppend(&out, ",", n, "\n");
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::vector<File>> Package(model::Campaign c, const PackageOptions& o) {
  Context context;
  context.audience = o.audience;
  context.figures = o.figures;
  context.prices = o.prices;
  context.milestones = o.milestones;
  context.intervals = MembershipIntervals(c);
  context.redactions = Redact(o.audience, &c);
  std::vector<File> files{{"index.html", RenderDossier(c, context)},
                          {"evidence.csv", EvidenceCsv(c)},
                          {"timeline.csv", TimelineCsv(c)}};
  if (!c.members.empty()) files.push_back({"accounts.csv", AccountsCsv({&c, 1})});
  if (!o.chromium.empty()) {
    for (const auto& [paper, name] :
         {std::pair("A4", "dossier-a4.pdf"), std::pair("Letter", "dossier-letter.pdf")}) {
      context.paper = paper;
      auto pdf = PrintPdf(o.chromium, RenderDossier(c, context));
      if (!pdf.ok()) return pdf.status();
      files.push_back({name, std::move(*pdf)});
    }
  }
  files.push_back({"campaign.json", CampaignsJson({&c, 1})});
  return files;
}

}  // namespace stillwatch::dossier
