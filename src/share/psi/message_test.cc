#include "share/psi/message.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "base/str.h"

namespace stillwatch::share::psi {
namespace {

using base::StrCat;

struct Signer {
  Bytes32 key;
  std::string secret;
};
Signer MakeSigner(uint8_t n) {
  Signer s;
  s.secret.resize(crypto_sign_SECRETKEYBYTES);
  Bytes32 seed;
  seed.fill(n);
  crypto_sign_seed_keypair(s.key.data(), reinterpret_cast<uint8_t*>(s.secret.data()), seed.data());
  return s;
}

Message Reply(Question question) {
  Message m;
  m.kind = Kind::kReply;
  m.question = question;
  m.from = MakeSigner(1).key;
  m.to = MakeSigner(2).key;
  m.created_ms = 1'780'000'000'000;
  m.expires_ms = m.created_ms + 1000;
  m.epoch = "2026-11-16/P7D";
  for (const char* family : {"mail", "payment"}) {
    Part p;
    p.family = family;
    p.mine = 3;
    p.yours = 2;
    p.elements = {Element{1}, Element{2}};
    p.tags = {Tag{1}, Tag{2}, Tag{3}};
    if (question == Question::kWhich) p.proofs.resize(1);
    m.parts.push_back(p);
  }
  return m;
}

std::string Why(std::string_view bytes, Kind kind) {
  const auto m = Decode(bytes, kind);
  return m.ok() ? "" : std::string(m.status().message());
}

TEST(Message, ReadsBackAsWritten) {
  const Signer s = MakeSigner(1);
  for (const Question q : {Question::kCount, Question::kWhich}) {
    Message m = Reply(q);
    const std::string bytes = Encode(&m, s.secret);
    const auto back = Decode(bytes, Kind::kReply);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->hash, m.hash);
    EXPECT_EQ(back->epoch, m.epoch);
    ASSERT_EQ(back->parts.size(), 2u);
    EXPECT_EQ(back->parts[1].family, "payment");
    EXPECT_EQ(back->parts[1].tags, m.parts[1].tags);
    EXPECT_EQ(back->parts[1].elements, m.parts[1].elements);
    EXPECT_EQ(back->parts[1].proofs, m.parts[1].proofs);
    Message again = *back;
    EXPECT_EQ(Encode(&again, s.secret), bytes);
  }
}

TEST(Message, EveryCutAndEveryByteIsNoticed) {
  const Signer s = MakeSigner(1);
  Message m = Reply(Question::kWhich);
  const std::string bytes = Encode(&m, s.secret);
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(Decode(bytes.substr(0, n), Kind::kReply).ok()) << n;
  EXPECT_FALSE(Decode(bytes + "x", Kind::kReply).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = char(bad[i] ^ 0x10);
    EXPECT_FALSE(Decode(bad, Kind::kReply).ok()) << i;
  }
}

TEST(Message, SaysWhatIsWrong) {
  const Signer s = MakeSigner(1);
  Message m = Reply(Question::kCount);
  std::string bytes = Encode(&m, s.secret);
  EXPECT_NE(Why(bytes, Kind::kRequest).find("this is a comparison's reply"), std::string::npos);
  bytes[4] = 2;
  EXPECT_NE(Why(bytes, Kind::kReply).find("version 2"), std::string::npos);
  EXPECT_NE(Why("hello", Kind::kReply).find("begins with"), std::string::npos);
  const auto why = [&](const auto& change) {
    Message bad = Reply(Question::kCount);
    change(&bad);
    return Why(Encode(&bad, s.secret), Kind::kReply);
  };
  EXPECT_NE(why([](Message* x) { x->parts[0].mine = 4; }).find("counts"), std::string::npos);
  EXPECT_NE(why([](Message* x) { x->parts[0].yours = 0; }).find("wrong count"), std::string::npos);
  EXPECT_NE(why([](Message* x) { x->parts[0].common = 1; }).find("common"), std::string::npos);
  EXPECT_NE(why([](Message* x) { x->parts[1].mine = 1u << 23; }).find("at most"),
            std::string::npos);
  EXPECT_NE(why([](Message* x) { std::swap(x->parts[0], x->parts[1]); }).find("order"),
            std::string::npos);
  EXPECT_NE(why([](Message* x) { x->parts[0].family = "colour"; }).find("family"),
            std::string::npos);
  EXPECT_NE(why([](Message* x) { x->parts[0].elements[1] = Element{1}; }).find("twice"),
            std::string::npos);
  EXPECT_NE(why([](Message* x) {
              std::swap(x->parts[0].tags[0], x->parts[0].tags[1]);
            }).find("ascending"),
            std::string::npos);
  EXPECT_NE(why([](Message* x) { x->from = x->to; }).find("signature"), std::string::npos);
}

}  // namespace
}  // namespace stillwatch::share::psi
