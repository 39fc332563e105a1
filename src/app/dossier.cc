// dossier: findings written down for others, in a signed archive.
#include <cstdio>
#include <filesystem>

#include "app/chosen.h"
#include "app/command.h"
#include "app/files.h"
#include "base/str.h"
#include "base/text.h"
#include "dossier/archive.h"
#include "dossier/outputs.h"
#include "dossier/package.h"
#include "dossier/pdf.h"
#include "dossier/read.h"

namespace stillwatch::app {
namespace {

using base::StrCat;
namespace fs = std::filesystem;

struct RenderOptions {
  std::string out = "stillwatch-out", to, lake, audience = "internal", prices, milestones, key;
  std::vector<std::string> campaigns;
  bool preview = false, pdf = true;
};

// Without a name there must be one that accuses.
absl::StatusOr<std::vector<const model::Campaign*>> Chosen(const RenderOptions& o,
                                                           const model::Findings& findings) {
  auto chosen = ChosenCampaigns(findings, o.campaigns, o.out);
  if (chosen.ok() && chosen->empty()) {
    return absl::NotFoundError(StrCat(
        o.out, ": no campaign there is a distillation; name the one to render, by id or name"));
  }
  return chosen;
}

void Preview(const model::Campaign& campaign, dossier::Audience audience) {
  model::Campaign c = campaign;
  const auto list = dossier::Redact(audience, &c);
  std::printf("%s (%s), for the audience %s:\n", c.name.c_str(), c.id.c_str(),
              dossier::AudienceName(audience));
  for (const dossier::Redaction& r : list) {
    std::printf("  %-9s %s %s\n",
                r.count == 0 ? "none"
                : r.leaves   ? "leaves"
                             : "stays",
                base::Grouped(r.count).c_str(), r.what.c_str());
  }
  std::printf(
      "  leaves    its name, verdict, figures, models, capabilities, timeline and the wording of "
      "its evidence\n");
}

absl::Status Render(const RenderOptions& o) {
  const auto audience = dossier::AudienceNamed(o.audience);
  if (!audience)
    return absl::InvalidArgumentError(
        StrCat("--audience: internal, partner or public, not ", o.audience));
  auto findings = dossier::ReadFindings(o.out);
  if (!findings.ok()) return findings.status();
  const auto chosen = Chosen(o, *findings);
  if (!chosen.ok()) return chosen.status();
  if (o.preview) {
    for (const model::Campaign* c : *chosen) Preview(*c, *audience);
    return absl::OkStatus();
  }
  dossier::PackageOptions options;
  options.audience = *audience;
  dossier::Prices prices;
  std::vector<dossier::Milestone> milestones;
  std::string seed;
  if (!o.prices.empty()) {
    const auto yaml = ReadFile(o.prices);
    if (!yaml.ok()) return yaml.status();
    auto parsed = dossier::ParsePrices(*yaml, o.prices);
    if (!parsed.ok()) return parsed.status();
    prices = std::move(*parsed);
    options.prices = &prices;
  }
  if (!o.milestones.empty()) {
    const auto yaml = ReadFile(o.milestones);
    if (!yaml.ok()) return yaml.status();
    auto parsed = dossier::ParseMilestones(*yaml, o.milestones);
    if (!parsed.ok()) return parsed.status();
    milestones = std::move(*parsed);
    options.milestones = &milestones;
  }
  if (!o.key.empty()) {
    auto read = dossier::ReadKey(o.key);
    if (!read.ok()) return read.status();
    seed = std::move(*read);
  }
  if (o.pdf) {
    options.chromium = dossier::FindChromium();
    if (options.chromium.empty())
      std::fprintf(stderr,
                   "stillwatch: note: no Chromium is installed (Debian: apt-get install chromium), "
                   "so there is no PDF\n");
  }
  auto lake = OpenLake(o.lake.empty() ? o.out + "/lake" : o.lake, 4, true);
  if (!lake.ok()) return lake.status();
  const std::string to = o.to.empty() ? o.out + "/dossiers" : o.to;
  for (const model::Campaign* c : *chosen) {
    const auto figures = dossier::ReadFigures(lake->get(), c->id);
    if (!figures.ok()) return figures.status();
    options.figures = &*figures;
    auto files = dossier::Package(*c, options);
    if (!files.ok()) return files.status();
    const std::string name = StrCat(to, "/", c->name, "-", o.audience);
    std::error_code error;
    fs::create_directories(name, error);
    if (error) return absl::FailedPreconditionError(StrCat(name, ": ", error.message()));
    for (const dossier::File& f : *files)
      if (absl::Status s = dossier::WriteWhole(StrCat(name, "/", f.name), f.bytes); !s.ok())
        return s;
    const auto zip = dossier::Pack(std::move(*files), c->id, o.audience, seed);
    if (!zip.ok()) return zip.status();
    if (absl::Status s = dossier::WriteWhole(name + ".zip", *zip); !s.ok()) return s;
    std::printf("%s/index.html\n%s.zip%s\n", name.c_str(), name.c_str(),
                seed.empty() ? " (not signed: no --key)" : "");
  }
  return absl::OkStatus();
}

absl::Status Verify(const std::string& path, const std::string& key) {
  std::string expected;
  if (!key.empty()) {
    auto read = dossier::ReadPublicKey(key);
    if (!read.ok()) return read.status();
    expected = std::move(*read);
  }
  const auto zip = ReadFile(path, dossier::kArchiveBytesMax);
  if (!zip.ok()) return zip.status();
  const auto v = dossier::Verify(*zip, expected);
  if (!v.ok())
    return absl::InvalidArgumentError(StrCat(path, ": ", std::string(v.status().message())));
  std::printf(
      "%s: campaign %s, for %s, by Stillwatch %s: %zu files as they were written\n%s\n",
      path.c_str(), v->campaign_id.c_str(), v->audience.c_str(), v->version.c_str(), v->files,
      v->known ? "signed by the key given"
      : v->signer.empty()
          ? "not signed: anybody could have written it"
          : StrCat("signed by ", v->signer, "; name the key that you expect with --key").c_str());
  return absl::OkStatus();
}

}  // namespace

void AddDossier(CLI::App& app, int* code) {
  auto* sub =
      app.add_subcommand("dossier", "Campaigns written down for others, in a signed archive");
  sub->require_subcommand(1);
  auto* render = sub->add_subcommand("render", "write dossiers of a finished scan");
  auto o = std::make_shared<RenderOptions>();
  render->add_option("--out", o->out, "folder of the scan")->capture_default_str();
  render->add_option("--to", o->to, "folder of the dossiers [OUT/dossiers]");
  render->add_option("--lake", o->lake, "the scan's lake [OUT/lake]");
  render->add_option("--audience", o->audience, "internal, partner or public: what may be shown")
      ->capture_default_str();
  render->add_flag("--preview", o->preview, "only say what would leave and what stays");
  render->add_option("--prices", o->prices, "list prices (YAML), to state the worth");
  render->add_option("--milestones", o->milestones, "another model's development timeline (YAML)");
  render->add_option("--key", o->key, "sign with this key (see dossier key)");
  render->add_flag("!--no-pdf", o->pdf, "HTML alone");
  render->add_option("CAMPAIGN", o->campaigns,
                     "ids or names; every distillation when none is named");
  render->footer(
      "Example: stillwatch dossier render amber-otter --out stillwatch-out --audience partner "
      "--key press.key");
  render->callback([=] { *code = Report(Render(*o)); });

  auto* verify =
      sub->add_subcommand("verify", "check an archive: nothing changed, and who signed it");
  auto archive = std::make_shared<std::string>(), key = std::make_shared<std::string>();
  verify->add_option("--key", *key, "the public key expected (FILE.pub)");
  verify->add_option("ARCHIVE", *archive, "NAME.zip")->required();
  verify->footer("Example: stillwatch dossier verify amber-otter-partner.zip --key press.key.pub");
  verify->callback([=] { *code = Report(Verify(*archive, *key)); });

  auto* make = sub->add_subcommand("key", "make a key to sign with, and FILE.pub to check with");
  auto path = std::make_shared<std::string>();
  make->add_option("FILE", *path, "the secret key; readable by its owner alone")->required();
  make->footer("Example: stillwatch dossier key press.key");
  make->callback([=] { *code = Report(dossier::MakeKey(*path)); });
}

}  // namespace stillwatch::app
