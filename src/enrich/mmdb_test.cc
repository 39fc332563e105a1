#include "enrich/mmdb.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

namespace stillwatch::enrich {
namespace {

// A database of one network: the smallest that the library opens. One node a bit of `prefix`.
std::string Write(const std::string& name, const std::string& type, uint32_t prefix, int bits,
                  const std::string& record, bool broken = false) {
  std::string tree;
  const auto put = [&](uint32_t v) {
    for (int shift = 16; shift >= 0; shift -= 8) tree.push_back(static_cast<char>(v >> shift));
  };
  const uint32_t nodes = static_cast<uint32_t>(bits), nothing = nodes, data = nodes + 16;
  for (int i = 0; i < bits; ++i) {
    const uint32_t next =
        i + 1 == bits ? (broken ? data + 9'000 : data) : static_cast<uint32_t>(i + 1);
    const bool one = prefix >> (31 - i) & 1;
    put(one ? nothing : next);
    put(one ? next : nothing);
  }
  const auto text = [](const std::string& s) {
    return std::string(1, static_cast<char>(0x40 | s.size())) + s;
  };
  const auto number = [](uint32_t v) {
    return std::string("\xC4", 1) + std::string{static_cast<char>(v >> 24),
                                                static_cast<char>(v >> 16),
                                                static_cast<char>(v >> 8), static_cast<char>(v)};
  };
  std::string meta = "\xAB\xCD\xEFMaxMind.com";
  meta += static_cast<char>(0xE0 | 9);
  meta += text("node_count") + number(nodes) + text("record_size") +
          std::string("\xA2\x00\x18", 3) + text("ip_version") + std::string("\xA2\x00\x04", 3);
  meta += text("database_type") + (type.size() < 29 ? text(type) : text(type.substr(0, 28)));
  meta += text("languages") + std::string("\x00\x04", 2) + text("binary_format_major_version") +
          std::string("\xA2\x00\x02", 3);
  meta += text("binary_format_minor_version") + std::string("\xA2\x00\x00", 3) +
          text("build_epoch") + std::string("\x04\x02\x00\x00\x00\x01", 6);
  meta += text("description") + std::string("\xE0", 1);
  const std::string path = testing::TempDir() + "/" + name;
  FILE* f = fopen(path.c_str(), "wb");
  const std::string all = tree + std::string(16, '\0') + record + meta;
  fwrite(all.data(), 1, all.size(), f);
  fclose(f);
  return path;
}

std::string FlagRecord(const std::string& name) {
  return std::string("\xE1", 1) + std::string(1, static_cast<char>(0x40 | name.size())) + name +
         std::string("\x01\x07", 2);
}

TEST(AddressBook, ReadsClassesAndPrefersWhatHides) {
  const std::string hosting = Write("hosting.mmdb", "GeoIP2-Anonymous-IP", 0x0A000000, 8,
                                    FlagRecord("is_hosting_provider"));
  const std::string proxy = Write("proxy.mmdb", "GeoIP-Residential-Proxy", 0x0A000000, 8,
                                  FlagRecord("is_residential_proxy"));
  auto book = AddressBook::Open({hosting, proxy});
  ASSERT_TRUE(book.ok()) << book.status();
  EXPECT_EQ(book->Lookup("10.1.2.3").address_class, "residential_proxy");
  EXPECT_EQ(book->Lookup("11.1.2.3").address_class, "");
  EXPECT_EQ(book->Lookup("not an address").address_class, "");
  auto one = AddressBook::Open({hosting});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->Lookup("10.1.2.3").address_class, "hosting");
  const auto lines = Summarise(*one, {{"10.0.0.1", 5}, {"10.0.0.2", 2}, {"9.9.9.9", 1}});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].addresses, 2u);
  EXPECT_EQ(lines[0].exchanges, 7u);
}

TEST(AddressBook, RefusesBrokenAndForeignFiles) {
  const auto broken = AddressBook::Open({Write("broken.mmdb", "GeoIP2-Anonymous-IP", 0x0A000000, 8,
                                               FlagRecord("is_tor_exit_node"), true)});
  ASSERT_FALSE(broken.ok());
  EXPECT_NE(std::string(broken.status().message()).find("broken.mmdb: broken database"),
            std::string::npos)
      << broken.status();
  // One on which the library itself crashes, found by mmdb_fuzz.
  const auto beyond = AddressBook::Open(
      {std::string(STILLWATCH_SOURCE_DIR) + "/tests/corpus/mmdb_fuzz/tree_beyond_the_file"});
  EXPECT_NE(std::string(beyond.status().message()).find("larger than the file"), std::string::npos)
      << beyond.status();
  EXPECT_FALSE(AddressBook::Open({"/nowhere.mmdb"}).ok());
  EXPECT_FALSE(AddressBook::Open({std::string(STILLWATCH_SOURCE_DIR) + "/CMakeLists.txt"}).ok());
}

}  // namespace
}  // namespace stillwatch::enrich
