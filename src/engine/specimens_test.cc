#include "engine/specimens.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "lake/embedded/embedded_lake.h"

namespace stillwatch::engine {
namespace {

// Short words that no compressor shortens are found in a part's file as they are.
int FilesWith(const std::string& folder, const std::string& word) {
  int found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    std::ostringstream bytes;
    bytes << in.rdbuf();
    found += bytes.str().find(word) != std::string::npos;
  }
  return found;
}

TEST(Specimens, GoWhenTheirTimeIsOverFromTheDiskToo) {
  const std::string path = testing::TempDir() + "/specimens_lake";
  std::filesystem::remove_all(path);
  auto lake = lake::OpenEmbedded({.path = path, .threads = 1});
  ASSERT_TRUE(lake.ok()) << lake.status();
  ASSERT_TRUE((*lake)->Migrate().ok());
  lake::StringColumn id, campaign, text;
  for (const char* word : {"quixotry", "zephyrous"}) {
    id.Append(std::string("x-") + word[0]);
    campaign.Append("cmp_1");
    text.Append(word);
  }
  ASSERT_TRUE((*lake)
                  ->Insert("specimens", {{{"exchange_id", id},
                                          {"campaign_id", campaign},
                                          {"text", text},
                                          {"expires", std::vector<int64_t>{1000, 5000}}}})
                  .ok());
  const auto left = [&] {
    std::string all;
    EXPECT_TRUE((*lake)
                    ->Query("SELECT text FROM specimens ORDER BY text",
                            [&](const lake::Block& b) {
                              for (size_t i = 0; i < b.rows(); ++i)
                                all += std::string(b.columns[0].As<lake::StringColumn>()[i]) + " ";
                              return absl::OkStatus();
                            })
                    .ok());
    return all;
  };
  ASSERT_TRUE(ExpireSpecimens(**lake, 999).ok());
  EXPECT_EQ(left(), "quixotry zephyrous ");
  EXPECT_EQ(FilesWith(path, "quixotry"), 1);
  const absl::Status s = ExpireSpecimens(**lake, 1000);
  ASSERT_TRUE(s.ok()) << s;
  EXPECT_EQ(left(), "zephyrous ");
  EXPECT_EQ(FilesWith(path, "quixotry"), 0);
  EXPECT_EQ(FilesWith(path, "zephyrous"), 1);

  // Killed between the exchange of the tables and the end: the next opening removes the rest.
  ASSERT_TRUE((*lake)->Execute("CREATE TABLE specimens_other AS specimens").ok());
  ASSERT_TRUE((*lake)
                  ->Insert("specimens_other", {{{"exchange_id", id},
                                                {"campaign_id", campaign},
                                                {"text", text},
                                                {"expires", std::vector<int64_t>{1000, 5000}}}})
                  .ok());
  EXPECT_EQ(FilesWith(path, "quixotry"), 1);
  ASSERT_TRUE(ExpireSpecimens(**lake, 1000).ok());
  EXPECT_EQ(FilesWith(path, "quixotry"), 0);
}

}  // namespace
}  // namespace stillwatch::engine
