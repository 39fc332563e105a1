#include "lake/cluster/url.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace stillwatch::lake {
namespace {

TEST(LakeUrl, EveryPart) {
  const auto url = ParseLakeUrl(
      "clickhouse://wat:p%40s:s@h1:81,[::1]:82,h-3.example/lake_1?cluster=three-x&wait=7&secure=1");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "wat");
  EXPECT_EQ(url->password, "p@s:s");
  EXPECT_EQ(url->hosts, (std::vector<std::string>{"h1:81", "[::1]:82", "h-3.example:8123"}));
  EXPECT_EQ(url->database, "lake_1");
  EXPECT_EQ(url->cluster, "three-x");
  EXPECT_EQ(url->wait_seconds, 7);
  EXPECT_TRUE(url->secure);
  EXPECT_EQ(url->Shown(), "clickhouse://h1:81,[::1]:82,h-3.example:8123/lake_1?cluster=three-x");
}

TEST(LakeUrl, Defaults) {
  const auto url = ParseLakeUrl("clickhouse://localhost/stillwatch");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "default");
  EXPECT_EQ(url->password, "");
  EXPECT_EQ(url->hosts, std::vector<std::string>{"localhost:8123"});
  EXPECT_EQ(url->cluster, "");
  EXPECT_FALSE(url->secure);
}

TEST(LakeUrl, ASocket) {
  EXPECT_TRUE(IsLakeUrl("unix:lake.sock"));
  EXPECT_FALSE(IsLakeUrl("out/lake"));
  const auto url = ParseLakeUrl("unix:/run/a b.sock");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->socket, "/run/a b.sock");
  EXPECT_EQ(url->Shown(), "unix:/run/a b.sock");
  EXPECT_FALSE(ParseLakeUrl("unix:").ok());
  EXPECT_FALSE(ParseLakeUrl("unix:/" + std::string(120, 'x')).ok());
}

TEST(LakeUrl, WhatIsWrongIsSaidWithoutThePassword) {
  for (const char* text : {"clickhouse://",
                           "clickhouse:///db",
                           "clickhouse://h",
                           "clickhouse://h/",
                           "clickhouse://h:0/db",
                           "clickhouse://h:70000/db",
                           "clickhouse://h:8123x/db",
                           "clickhouse://h;x/db",
                           "clickhouse://h/d-b",
                           "clickhouse://h/1db",
                           "clickhouse://h/db?cluster=",
                           "clickhouse://h/db?cluster=a'b",
                           "clickhouse://h/db?wait=-1",
                           "clickhouse://h/db?wait=x",
                           "clickhouse://h/db?what=1",
                           "clickhouse://h/db?secure=2",
                           "clickhouse://:hush@h/db",
                           "clickhouse://u:hush%4@h/db",
                           "clickhouse://u:hush%0ax@h/db",
                           "clickhouse://u:hush@h,g/db",
                           "clickhouse://[::1/db",
                           "clickhouse://u:hush@h//db",
                           "http://h/db",
                           "clickhouse://h,/db"}) {
    const auto url = ParseLakeUrl(text);
    EXPECT_EQ(url.status().code(), absl::StatusCode::kInvalidArgument) << text;
    const std::string message(url.status().message().data(), url.status().message().size());
    EXPECT_NE(message.find("expected clickhouse://"), std::string::npos) << message;
    EXPECT_EQ(message.find("hush"), std::string::npos) << message;
  }
}

TEST(LakeUrl, ThePasswordComesFromTheEnvironmentOrAFile) {
  const std::string file =
      std::filesystem::temp_directory_path() / ("stillwatch-password-" + std::to_string(getpid()));
  std::ofstream(file) << "from file\nmore\n";
  auto url = *ParseLakeUrl("clickhouse://h/db");
  setenv("STILLWATCH_LAKE_PASSWORD_FILE", file.c_str(), 1);
  EXPECT_TRUE(TakeEnvironment(&url).ok());
  EXPECT_EQ(url.password, "from file");
  url.password.clear();
  setenv("STILLWATCH_LAKE_PASSWORD", "from environment", 1);
  EXPECT_TRUE(TakeEnvironment(&url).ok());
  EXPECT_EQ(url.password, "from environment");
  auto with = *ParseLakeUrl("clickhouse://u:mine@h/db");
  EXPECT_TRUE(TakeEnvironment(&with).ok());
  EXPECT_EQ(with.password, "mine");
  unsetenv("STILLWATCH_LAKE_PASSWORD");
  setenv("STILLWATCH_LAKE_PASSWORD_FILE", "/nowhere/password", 1);
  url.password.clear();
  EXPECT_NE(TakeEnvironment(&url).message().find("/nowhere/password"), std::string::npos);
  unsetenv("STILLWATCH_LAKE_PASSWORD_FILE");
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace stillwatch::lake
