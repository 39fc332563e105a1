#include "dossier/package.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "dossier/pdf.h"

namespace stillwatch::dossier {
namespace {

namespace fs = std::filesystem;
using ::testing::TempDir;

// Every field that is personal, secret or somebody's text says so in its value.
model::Campaign Secretive() {
  model::Campaign c;
  c.id = "cmp_1", c.name = "amber-otter";
  c.verdict = model::Verdict::kDistillation;
  c.probability = .995;
  c.all = {{c.verdict, .995}, {model::Verdict::kSharedTool, .005}};
  c.accounts = 2, c.exchanges = 30;
  c.first_seen_ms = 1'776'816'000'000, c.last_seen_ms = 1'777'816'000'000;
  c.models = {{"atlas-4", 30}};
  c.pools = {{"pool_1", 2}};
  c.templates = {{"tpl_1", 30, {{0, "SECRET-exchange", "SECRET-text"}}, {4'012'345'678}}};
  c.evidence = {{model::Family::kPayment,
                 8,
                 "They share a card.",
                 "Strangers do not.",
                 "SELECT 'SECRET-query'",
                 {},
                 {"SECRET-shown"}},
                {model::Family::kRhythm, 9, "=cmd()", "None.", "", {}, {}}};
  c.attribution = {{"OPERATOR", "OPERATOR-basis", .7}};
  c.timeline = {{"2026-04-22", 30, 2, {{"atlas-4", 30}}}};
  c.infrastructure = {{"hosting", "NETWORK-name", 64500, 3, 9}};
  c.addresses = {{"SECRET-address", 3}};
  c.queries = {{"exchanges", "SELECT 'SECRET-query'"}};
  c.members = {{"SECRET-account", "pool_1", "distillation", .9, 20, 20, "with SECRET-other"},
               {"SECRET-victim", "", "victim", .1, 50, 10, "SECRET-why"}};
  return c;
}

const Figures kFigures{{{"atlas-4", 30, 28, 3'000'000, 1'000'000, 2'000'000, 0}},
                       {{"examples", "SELECT 'SECRET-figures'"}}};
const Prices kPrices{"USD", {{"atlas-4", {3, .3, 15}}}};

std::string All(Audience audience) {
  PackageOptions o;
  o.audience = audience;
  o.figures = &kFigures;
  o.prices = &kPrices;
  const auto files = Package(Secretive(), o);
  EXPECT_TRUE(files.ok()) << files.status();
  std::string all;
  for (const File& f : *files) all += f.name + "\n" + f.bytes;
  return all;
}

// As large as June 2026: what a page leaves out is in the annexes.
TEST(Package, APageOf25000AccountsIsUnderTwoMegabytes) {
  model::Campaign c = Secretive();
  c.accounts = 25'000, c.exchanges = 28'800'000;
  const std::string why(300, 'w');
  c.members.clear();
  for (int i = 0; i < 25'000; ++i)
    c.members.push_back({"acct_" + std::to_string(1'000'000'000'000 + i),
                         "pool_" + std::to_string(i / 10), "distillation", .99, 1152, 1150, why});
  c.pools.clear();
  for (int i = 0; i < 2'500; ++i) c.pools.push_back({"pool_" + std::to_string(i), 10});
  const model::TemplateRef of = c.templates[0];
  c.templates.clear();
  for (int i = 0; i < 500; ++i) {
    c.templates.push_back(of);
    c.templates.back().id = "tpl_" + std::to_string(i);
    c.templates.back().hashes.assign(512, 4'012'345'678);
  }
  for (int i = 0; i < 1'000; ++i)
    c.infrastructure.push_back(
        {"residential_proxy", "Network " + std::to_string(i), 64500, 40, 9'000});
  for (int i = 0; i < 20'000; ++i) c.addresses["2001:db8::" + std::to_string(i)] = 1'440;
  for (int i = 0; i < 60; ++i)
    c.timeline.push_back({"2026-05-07", 480'000, 20'000, {{"atlas-4", 1}, {"atlas-5", 2}}});
  for (auto& e : c.evidence) e.exchanges.assign(20, std::string(64, 'e'));
  PackageOptions o;
  o.figures = &kFigures;
  const auto files = Package(c, o);
  ASSERT_TRUE(files.ok()) << files.status();
  size_t page = 0, rows = 0;
  for (const File& f : *files) {
    if (f.name.ends_with(".html")) page = f.bytes.size();
    if (f.name.ends_with("accounts.csv")) rows = std::count(f.bytes.begin(), f.bytes.end(), '\n');
  }
  EXPECT_GT(page, 10'000u);
  EXPECT_LT(page, 2'000'000u);
  EXPECT_EQ(rows, 25'001u);
}

TEST(Package, NothingLeavesThatTheAudienceMayNotSee) {
  const std::string internal = All(Audience::kInternal), partner = All(Audience::kPartner),
                    open = All(Audience::kPublic);
  for (const char* s : {"SECRET-account", "SECRET-text", "SECRET-query", "SECRET-figures",
                        "SECRET-shown", "4012345678", "OPERATOR", "NETWORK-name", "36 USD"}) {
    EXPECT_NE(internal.find(s), std::string::npos) << s;
  }
  for (const std::string& text : {partner, open}) {
    EXPECT_EQ(text.find("SECRET"), std::string::npos) << text.substr(text.find("SECRET"), 60);
    EXPECT_EQ(text.find("4012345678"), std::string::npos);
    EXPECT_EQ(text.find(" USD"), std::string::npos);
    EXPECT_NE(text.find("They share a card."), std::string::npos);
  }
  EXPECT_NE(partner.find("OPERATOR-basis"), std::string::npos);
  EXPECT_NE(partner.find("NETWORK-name"), std::string::npos);
  EXPECT_NE(partner.find("account 2"), std::string::npos);
  for (const char* s : {"OPERATOR", "NETWORK", "account 2", "accounts.csv\n"})
    EXPECT_EQ(open.find(s), std::string::npos) << s;
  EXPECT_NE(internal.find("rhythm,9,'=cmd()"), std::string::npos) << "a spreadsheet would run it";
}

TEST(Figures, WorthAndIntervals) {
  double worth = 0;
  EXPECT_TRUE(Worth(kFigures, kPrices, &worth));
  EXPECT_DOUBLE_EQ(worth, 2 * 3 + 1 * .3 + 2 * 15);
  EXPECT_FALSE(Worth(kFigures, {"USD", {}}, &worth));
  const Intervals i = MembershipIntervals(Secretive());
  EXPECT_NEAR(i.accounts.low, 1.9 - 1.96 * .3, 1e-9);
  EXPECT_EQ(i.accounts.high, 2);
  EXPECT_NEAR(i.exchanges.low, 28 - 1.96 * 6, 1e-9);
  EXPECT_EQ(i.exchanges.high, 30);
}

TEST(Figures, FilesOfTheProvider) {
  const auto prices =
      ParsePrices("currency: EUR\nmodels:\n  a: {input: 3, output: 15}\n", "p.yaml");
  ASSERT_TRUE(prices.ok()) << prices.status();
  EXPECT_EQ(prices->models.at("a").cached_input, 3);
  const auto milestones = ParseMilestones(
      "- {date: 2026-06-01, event: e, source: s}\n- {date: 2026-05-01, event: f, source: s}\n",
      "m.yaml");
  ASSERT_TRUE(milestones.ok()) << milestones.status();
  EXPECT_EQ((*milestones)[0].event, "f");
  const auto error = [](const auto& s) { return std::string(s.status().message()); };
  EXPECT_EQ(
      error(ParsePrices("currency: EUR\nmodels:\n  a: {inputs: 3}\n", "p.yaml")).substr(0, 24),
      "p.yaml:3: inputs: unknow");
  EXPECT_EQ(
      error(ParsePrices("currency: EUR\nmodels:\n  a: {input: -3}\n", "p.yaml")).substr(0, 24),
      "p.yaml:3: input: expecte");
  EXPECT_NE(error(ParsePrices("models: {}\n", "p.yaml")).find("currency is missing"),
            std::string::npos);
  EXPECT_NE(error(ParsePrices("a: [", "p.yaml")).find("not YAML"), std::string::npos);
  EXPECT_NE(error(ParseMilestones("- {date: May, event: e, source: s}\n", "m.yaml"))
                .find("m.yaml:1: expected a date"),
            std::string::npos);
  EXPECT_NE(error(ParseMilestones("- {date: 2026-05-01, event: e}\n", "m.yaml")).find("the source"),
            std::string::npos);
}

class Archive : public ::testing::Test {
 protected:
  Archive() : dir_(fs::path(TempDir()) / ("archive-" + std::to_string(getpid()))) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    EXPECT_TRUE(MakeKey(Path("k")).ok());
    EXPECT_TRUE(MakeKey(Path("other")).ok());
    seed_ = *ReadKey(Path("k"));
    public_ = *ReadPublicKey(Path("k.pub"));
  }
  ~Archive() override { fs::remove_all(dir_); }
  std::string Path(const char* name) const { return (dir_ / name).string(); }
  const std::vector<File> files_{{"b.csv", "1,2\n"}, {"a.html", std::string(100'000, 'x')}};
  fs::path dir_;
  std::string seed_, public_;
};

TEST_F(Archive, SaysWhatItIsAndWhoSignedIt) {
  const auto zip = Pack(files_, "cmp_1", "partner", seed_);
  ASSERT_TRUE(zip.ok()) << zip.status();
  EXPECT_EQ(*zip, *Pack({files_[1], files_[0]}, "cmp_1", "partner", seed_))
      << "the same bytes for the same files";
  auto v = Verify(*zip, public_);
  ASSERT_TRUE(v.ok()) << v.status();
  EXPECT_TRUE(v->known);
  EXPECT_EQ(v->campaign_id, "cmp_1");
  EXPECT_EQ(v->audience, "partner");
  EXPECT_EQ(v->files, 2u);
  v = Verify(*zip, "");
  ASSERT_TRUE(v.ok());
  EXPECT_FALSE(v->known);
  EXPECT_EQ(v->signer.size(), 64u);
  EXPECT_EQ(Verify(*zip, *ReadPublicKey(Path("other.pub"))).status().code(),
            absl::StatusCode::kPermissionDenied);
  const auto unsigned_zip = Pack(files_, "cmp_1", "partner", "");
  EXPECT_TRUE(Verify(*unsigned_zip, "").ok());
  EXPECT_EQ(Verify(*unsigned_zip, public_).status().code(), absl::StatusCode::kPermissionDenied);
}

// Whatever bit of it is turned, it is found out or changes nothing that is read.
TEST_F(Archive, NoBitCanBeTurned) {
  const std::string zip = *Pack({files_[0]}, "cmp_1", "partner", seed_);
  for (size_t at = 0; at < zip.size(); ++at) {
    std::string other = zip;
    other[at] = static_cast<char>(other[at] ^ (1 << (at % 8)));
    const auto v = Verify(other, public_);
    if (!v.ok()) continue;
    EXPECT_EQ(v->campaign_id, "cmp_1") << at;
    EXPECT_EQ(v->audience, "partner") << at;
    EXPECT_EQ(v->files, 1u) << at;
  }
  for (size_t cut = 0; cut < zip.size(); cut += 7) {
    const auto v = Verify(std::string_view(zip).substr(0, cut), public_);
    // The directory at the end repeats what was read.
    EXPECT_TRUE(!v.ok() || v->files == 1u) << cut;
  }
}

TEST_F(Archive, OtherBytesAreNoArchive) {
  for (const char* bytes : {"", "PK", "hello"}) {
    EXPECT_EQ(Verify(bytes, "").status().code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
}

TEST_F(Archive, KeysAreKept) {
  EXPECT_EQ(MakeKey(Path("k")).code(), absl::StatusCode::kFailedPrecondition);
  chmod(Path("k").c_str(), 0644);
  EXPECT_EQ(ReadKey(Path("k")).status().code(), absl::StatusCode::kPermissionDenied);
  std::ofstream(Path("bad")) << "zz\n";
  EXPECT_EQ(ReadPublicKey(Path("bad")).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Pdf, OnePageIsTheSameBytesTwice) {
  const std::string chromium = FindChromium();
  if (chromium.empty()) GTEST_SKIP() << "no Chromium is installed";
  const std::string html =
      "<!doctype html><title>x</title><style>@page{size:Letter}</style><p>page</p>";
  const auto once = PrintPdf(chromium, html), again = PrintPdf(chromium, html);
  ASSERT_TRUE(once.ok()) << once.status();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*once, *again);
  EXPECT_NE(once->find("/MediaBox [0 0 612 792]"), std::string::npos) << "Letter";
  EXPECT_EQ(PrintPdf("/bin/false", html).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace stillwatch::dossier
