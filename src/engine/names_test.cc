#include "engine/names.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace stillwatch::engine {
namespace {

template <typename Name>
void NumbersAndRanks() {
  std::mt19937 random(3);
  std::vector<std::string> said;
  for (int i = 0; i < 5'000; ++i) {
    std::string one = i % 7 ? "a name too long to be kept in place: " : "";
    for (auto n = random() % 3; n > 0; --n) one += static_cast<char>('a' + random() % 9);
    said.push_back(one);
    if (i % 3 == 0) said.push_back(one);  // neighbours repeat
  }
  Interner<Name> intern;
  EXPECT_FALSE(intern.Has(said[0]));
  std::map<std::string, uint32_t> first;
  for (const std::string& one : said) {
    const auto number = static_cast<uint32_t>(first.size());
    EXPECT_EQ(intern(one), first.try_emplace(one, number).first->second);
    EXPECT_TRUE(intern.Has(one));
  }
  ASSERT_EQ(intern.names().size(), first.size());
  for (const auto& [name, number] : first) EXPECT_EQ(intern.names()[number], name);
  link::Names ascending = {"before"};
  const std::vector<uint32_t> rank = intern.Rank(&ascending);
  ASSERT_EQ(ascending.size(), first.size() + 1);
  uint32_t place = 0;
  for (const auto& [name, number] : first) {
    EXPECT_EQ(rank[number], place);
    EXPECT_EQ(ascending[++place], name);
  }
}

TEST(Names, AreNumberedInOrderOfFirstUseAndRanked) {
  NumbersAndRanks<std::string>();
  NumbersAndRanks<std::string_view>();
  link::Names none;
  EXPECT_TRUE(Interner<std::string>().Rank(&none).empty());
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace stillwatch::engine
