#include "engine/snapshot.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/str.h"
#include "lake/embedded/embedded_lake.h"
#include "respond/decide.h"

namespace stillwatch::engine {
namespace {

namespace fs = std::filesystem;

model::Campaign Accused(const std::string& id, const std::string& account, bool rests) {
  model::Campaign c;
  c.id = id, c.name = id;
  c.verdict = model::Verdict::kDistillation;
  c.probability = .97;
  c.accounts = 1, c.exchanges = 100;
  c.members.push_back({account, "", "distillation", .97, 100, 100, ""});
  c.imports.push_back({"indicator--1", "campaign--1", "North", "template-sketch", 'A', 2, 1, 100});
  c.rests_on_imports = rests;
  return c;
}

// The decision side of docs/SHARING.md, "when it ends": without a pass, with the next snapshot.
TEST(Snapshot, WhatRestsOnAnImportEndsWithIt) {
  const std::string dir = base::StrCat(testing::TempDir(), "/snapshot-", getpid());
  fs::remove_all(dir);
  fs::create_directories(dir);
  std::ofstream(dir + "/exchanges.csv") << "exchange_id,account_id,campaign_id\n";
  {
    auto lake = lake::OpenEmbedded({.path = dir + "/lake", .threads = 1});
    ASSERT_TRUE(lake.ok()) << lake.status();
    ASSERT_TRUE((*lake)->Migrate().ok());
    PassFindings pass;
    pass.dir = dir;
    pass.ended_ms = 1'780'000'000'000;
    pass.findings.campaigns = {Accused("c1", "told", true), Accused("c2", "seen", false)};
    pass.finding_ids = {"c1", "c2"};
    pass.open = {1, 1};
    SnapshotMaker maker;
    const absl::Status took = maker.Take(pass, lake->get());
    ASSERT_TRUE(took.ok()) << took;
    const auto policy = respond::ParsePolicy(
        "version: 1\nrules: [{id: stop, match: {verdict: distillation}, action: deny, enforce: "
        "true}]\n",
        "test");
    ASSERT_TRUE(policy.ok()) << policy.status();
    const auto denied = [&](std::string_view account) {
      const auto snapshot =
          maker.Make(*policy, {}, std::array<uint8_t, 16>{}, pass.ended_ms + 1000);
      EXPECT_TRUE(snapshot.ok()) << snapshot.status();
      respond::Request q;
      q.account_id = account;
      q.model = "m";
      return respond::Decide(**snapshot, q, pass.ended_ms + 1000, nullptr).action ==
             respond::Action::kDeny;
    };
    EXPECT_TRUE(denied("told"));
    EXPECT_TRUE(denied("seen"));
    EXPECT_FALSE(denied("other"));
    // Revoked: the same word of somebody else's would still stand.
    maker.ActsOn([](const model::ImportRef& r) { return r.origin != "North"; });
    EXPECT_FALSE(denied("told"));
    EXPECT_TRUE(denied("seen"));
    maker.ActsOn([](const model::ImportRef& r) { return r.id == "indicator--1"; });
    EXPECT_TRUE(denied("told"));
  }
  fs::remove_all(dir);
}

}  // namespace
}  // namespace stillwatch::engine
