#include "engine/again.h"

#include <gtest/gtest.h>

#include <vector>

#include "lake/lake.h"

namespace stillwatch::engine {
namespace {

struct Tried {
  absl::Status status;
  int asked = 0;
  std::vector<std::string> notes;
};

// Asks for what `answers` says, one after the other; the last one for ever.
Tried Try(const std::vector<absl::Status>& answers, const std::atomic<bool>* stop = nullptr) {
  Tried t;
  t.status = Again([&] { return answers[std::min(size_t(t.asked++), answers.size() - 1)]; },
                   [&](const std::string& note) { t.notes.push_back(note); }, stop);
  return t;
}

TEST(Again, AnAnswerThatBrokeOffIsAskedForAnew) {
  const Tried t = Try({lake::BrokenOff("gone"), lake::BrokenOff("gone"), absl::OkStatus()});
  EXPECT_TRUE(t.status.ok()) << t.status;
  EXPECT_EQ(t.asked, 3);
  ASSERT_EQ(t.notes.size(), 2u);
  EXPECT_EQ(t.notes[0], "gone; begun again (2 of 6 tries)");
}

TEST(Again, OnlySoOften) {
  const Tried t = Try({lake::BrokenOff("gone")});
  EXPECT_TRUE(absl::IsUnavailable(t.status)) << t.status;
  EXPECT_EQ(t.asked, kTriesMax);
  EXPECT_EQ(t.notes.size(), size_t(kTriesMax) - 1);
}

TEST(Again, ALakeThatStayedAwayIsNotAskedAgain) {
  for (const absl::Status& s : {absl::UnavailableError("waited 120 s"), absl::InternalError("ours"),
                                absl::CancelledError("interrupted"), absl::OkStatus()}) {
    const Tried t = Try({s});
    EXPECT_EQ(t.status, s);
    EXPECT_EQ(t.asked, 1) << s;
    EXPECT_TRUE(t.notes.empty());
  }
}

TEST(Again, ARestEndsWhenToldToStop) {
  const std::atomic<bool> stop{true};
  const Tried t = Try({lake::BrokenOff("gone")}, &stop);
  EXPECT_TRUE(absl::IsCancelled(t.status)) << t.status;
  EXPECT_EQ(t.asked, 1);
}

}  // namespace
}  // namespace stillwatch::engine
