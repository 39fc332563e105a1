#include "link/workloads.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <string>

#include "link/test_log.h"

namespace stillwatch::link {
namespace {

using model::Capability;
using Numbers = std::vector<uint32_t>;

// A log of accounts with rows for templates: template t of account a is one row.
struct Jobs {
  TestLog log;
  struct Wanted {
    uint32_t first, last, family;  // accounts [first, last)
    Capability capability;
    uint32_t times = 1;  // rows of each account
    std::function<std::string(uint32_t account, uint32_t time)> setting = {};
  };
  std::vector<Wanted> wanted;

  uint32_t Add(uint32_t first, uint32_t last, uint32_t family,
               Capability capability = Capability::kMathematics, uint32_t times = 1) {
    wanted.push_back({first, last, family, capability, times, {}});
    return static_cast<uint32_t>(wanted.size() - 1);
  }
  // Active accounts that carry none.
  void Others(uint32_t first, uint32_t last) {
    for (uint32_t a = first; a < last; ++a) log.Add(TestAccount(a), kTestDay);
  }
  // The templates of each workload, in the order in which they were found.
  std::vector<Numbers> Find(const WorkloadOptions& options = {}) {
    TestLog all = log;
    std::vector<std::pair<std::string, uint32_t>> of;
    for (uint32_t t = 0; t < wanted.size(); ++t) {
      for (uint32_t i = 0; i < (wanted[t].last - wanted[t].first) * wanted[t].times; ++i) {
        const uint32_t a = wanted[t].first + i / wanted[t].times;
        TestRow& r = all.Add(TestAccount(a), kTestDay + t);
        r.features.emplace().capability = wanted[t].capability;
        if (wanted[t].setting) r.setting = wanted[t].setting(a, i % wanted[t].times);
        of.push_back({r.id, t});
      }
    }
    const Log built = all.Build();
    std::map<uint64_t, uint32_t> number;
    for (uint32_t row = 0; row < built.rows(); ++row) number[built.id[row]] = row;
    std::vector<Template> templates(wanted.size());
    for (uint32_t t = 0; t < wanted.size(); ++t) {
      templates[t].id = t;
      templates[t].family = wanted[t].family;
    }
    for (const auto& [id, t] : of) templates[t].rows.push_back(number[base::Hash64(id)]);
    for (Template& t : templates) std::sort(t.rows.begin(), t.rows.end());
    std::vector<Numbers> out;
    Numbers seen;
    for (const Workload& w : FindWorkloads(built, templates, options)) {
      out.push_back(w.templates);
      seen.insert(seen.end(), w.templates.begin(), w.templates.end());
      Numbers rows;
      for (const uint32_t t : w.templates)
        rows.insert(rows.end(), templates[t].rows.begin(), templates[t].rows.end());
      std::sort(rows.begin(), rows.end());
      EXPECT_EQ(w.rows, rows.size());
    }
    std::sort(seen.begin(), seen.end());
    Numbers each(wanted.size());
    std::iota(each.begin(), each.end(), 0);
    EXPECT_EQ(seen, each) << "every template is in one workload";
    return out;
  }
};

TEST(Workloads, ParaphrasesThatTheSameAccountsDealOutAreOneJob) {
  Jobs j;
  j.Others(100, 200);
  j.Add(0, 20, 0);
  j.Add(2, 20, 1);
  j.Add(40, 60, 2);  // other accounts
  j.Add(1, 19, 3);
  EXPECT_EQ(j.Find(), (std::vector<Numbers>{{0, 1, 3}, {2}}));
}

// A relay's accounts send the operator's scaffold and their customers' phrases; strangers who use
// a phrase never get the scaffold.
TEST(Workloads, APhraseThatStrangersUseAsWellStaysApart) {
  Jobs j;
  j.Others(100, 300);
  j.Add(0, 20, 0, Capability::kMathematics, 10);
  j.Add(0, 60, 1);
  EXPECT_EQ(j.Find(), (std::vector<Numbers>{{0}, {1}}));
  EXPECT_EQ(j.Find({.dealt_min = 0}), (std::vector<Numbers>{{0, 1}}));
}

// A rare paraphrase reaches few of a pool's accounts: as many as its volume lets one expect.
TEST(Workloads, ARareParaphraseIsTheSameJob) {
  Jobs j;
  j.Others(100, 300);
  j.Add(0, 40, 0, Capability::kMathematics, 10);
  j.Add(3, 11, 1);
  EXPECT_EQ(j.Find(), (std::vector<Numbers>{{0, 1}}));
}

TEST(Workloads, AFamilyIsOneJobWhoeverSendsIt) {
  Jobs j;
  j.Add(0, 20, 7);
  j.Add(40, 60, 7, Capability::kGrading);
  j.Add(80, 90, 8);
  EXPECT_EQ(j.Find(), (std::vector<Numbers>{{0, 1}, {2}}));
}

TEST(Workloads, TwoPurposesInOnePoolStayApart) {
  Jobs j;
  j.Others(100, 200);
  j.Add(0, 20, 0, Capability::kMathematics);
  j.Add(0, 20, 1, Capability::kGrading);
  j.Add(0, 20, 2, Capability::kMathematics);
  EXPECT_EQ(j.Find(), (std::vector<Numbers>{{0, 2}, {1}}));
}

// A relay deals its customers' requests out over the same accounts, each in the customer's
// settings. An account may have settings of its own, or change them with every exchange: its
// paraphrases are one job.
TEST(Workloads, ARelaysCustomersWorkInSettingsOfTheirOwn) {
  const auto jobs = [](const auto& one, const auto& other) {
    Jobs j;
    j.Others(500, 1'500);
    j.wanted[j.Add(0, 30, 0, Capability::kMathematics, 8)].setting = one;
    j.wanted[j.Add(0, 30, 1, Capability::kMathematics, 8)].setting = other;
    return j.Find().size();
  };
  const auto same = [](const std::string& name) {
    return [name](uint32_t, uint32_t) { return name; };
  };
  EXPECT_EQ(jobs(same("t=0"), same("t=0")), 1u);
  EXPECT_EQ(jobs(same("t=0"), same("t=1")), 2u);
  const auto own = [](uint32_t account, uint32_t) { return "t=" + std::to_string(account); };
  EXPECT_EQ(jobs(own, own), 1u);
  // Half of them are enough.
  EXPECT_EQ(jobs(same("t=0"), [](uint32_t, uint32_t k) { return k < 4 ? "t=0" : "t=1"; }), 1u);
  EXPECT_EQ(jobs(same("t=0"), [](uint32_t, uint32_t k) { return k < 3 ? "t=0" : "t=1"; }), 2u);
  // New settings every time are nobody's manner.
  const auto changing = [](const std::string& job) {
    return [job](uint32_t account, uint32_t k) {
      return job + std::to_string(account) + "," + std::to_string(k);
    };
  };
  EXPECT_EQ(jobs(changing("x"), changing("y")), 1u);
}

TEST(Workloads, ThresholdsAreExact) {
  const auto together = [](uint32_t common, uint32_t each, uint32_t others) {
    Jobs j;
    if (others > 0) j.Others(500, 500 + others);
    j.Add(0, each, 0);
    j.Add(each - common, 2 * each - common, 1);
    return j.Find().size() == 1;
  };
  // At least four carriers in both.
  EXPECT_TRUE(together(4, 8, 200));
  EXPECT_FALSE(together(3, 7, 200));
  // At least two in five of the smaller one's.
  EXPECT_TRUE(together(8, 20, 400));
  EXPECT_FALSE(together(7, 20, 400));
  // At least three times what chance gives: 10 * 10 / active, of which 16 carry either.
  EXPECT_TRUE(together(4, 10, 75 - 16));
  EXPECT_FALSE(together(4, 10, 74 - 16));
}

TEST(Workloads, AccountsWithoutRowsAreNoCarriers) {
  Jobs j;
  j.Others(500, 560);
  for (uint32_t a = 600; a < 700; ++a) j.log.Describe(TestAccount(a));
  j.Add(0, 10, 0);
  j.Add(6, 16, 1);
  // 76 active accounts: 10 * 10 / 76 * 3 < 4; if those without rows counted it would be far below.
  EXPECT_EQ(j.Find().size(), 1u);
  Jobs fewer;
  fewer.Others(500, 550);
  for (uint32_t a = 600; a < 700; ++a) fewer.log.Describe(TestAccount(a));
  fewer.Add(0, 10, 0);
  fewer.Add(6, 16, 1);
  EXPECT_EQ(fewer.Find().size(), 2u);
}

TEST(Workloads, NoTemplatesNoJobs) { EXPECT_TRUE(Jobs().Find().empty()); }

}  // namespace
}  // namespace stillwatch::link
