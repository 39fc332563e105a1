// What the tests and the benchmark build snapshots with.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "respond/decide.h"
#include "respond/policy.h"
#include "respond/snapshot.h"

namespace stillwatch::respond {

inline constexpr std::array<uint8_t, 16> kTestKey = {1, 2, 3, 4, 5, 6, 7, 8};
inline constexpr int64_t kNow = 1'781'000'000'000;  // June 2026
inline constexpr int64_t kDay = 86'400'000;

inline Policy MustParse(std::string_view yaml) {
  auto p = ParsePolicy(yaml, "test");
  EXPECT_TRUE(p.ok()) << p.status();
  return p.ok() ? *p : Policy{};
}

inline Policy Example(std::string_view name) {
  std::ifstream in(std::string(STILLWATCH_SOURCE_DIR "/examples/policy/").append(name));
  return MustParse(std::string{std::istreambuf_iterator<char>(in), {}});
}

inline std::shared_ptr<const Snapshot> MustBuild(SnapshotBuilder* b) {
  auto s = b->Build(kNow, kTestKey);
  EXPECT_TRUE(s.ok()) << s.status();
  return s.ok() ? *s : nullptr;
}

inline model::CampaignMember Member(std::string account, std::string verdict, double probability) {
  model::CampaignMember m;
  m.account_id = std::move(account);
  m.verdict = std::move(verdict);
  m.probability = probability;
  return m;
}

inline model::Campaign Campaign(std::string id, std::vector<model::CampaignMember> members,
                                double probability = .99,
                                model::Verdict verdict = model::Verdict::kDistillation) {
  model::Campaign c;
  c.id = std::move(id);
  c.verdict = verdict;
  c.probability = probability;
  c.last_seen_ms = kNow - kDay;
  c.members = std::move(members);
  return c;
}

inline std::vector<uint32_t> Hashes(uint32_t seed, size_t n) {
  std::vector<uint32_t> out;
  for (uint32_t i = 0; i < n; ++i) out.push_back((seed * 1000 + i) * 2654435761u);
  std::sort(out.begin(), out.end());
  return out;
}

inline model::TemplateRef Template(std::vector<uint32_t> hashes) {
  model::TemplateRef t;
  t.id = "tpl";
  t.exchanges = 1;
  t.hashes = std::move(hashes);
  return t;
}

inline model::Sketch SketchOf(std::vector<uint32_t> turn, std::vector<uint32_t> system = {}) {
  model::Sketch s;
  s.present = true;
  s.turn = std::move(turn);
  s.system = std::move(system);
  return s;
}

inline Request From(std::string_view account, std::string_view model = "atlas-4") {
  Request r;
  r.account_id = account;
  r.model = model;
  return r;
}

}  // namespace stillwatch::respond
