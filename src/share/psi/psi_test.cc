#include <gtest/gtest.h>
#include <sodium.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "base/hex.h"
#include "base/str.h"
#include "share/psi/compare.h"
#include "share/psi/group.h"
#include "share/psi/items.h"
#include "share/psi/oprf.h"

namespace stillwatch::share::psi {
namespace {

using base::StrCat;

std::string Unhex(std::string_view hex) {
  std::string out(hex.size() / 2, '\0');
  size_t n = 0;
  EXPECT_EQ(sodium_hex2bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), hex.data(),
                           hex.size(), nullptr, &n, nullptr),
            0);
  out.resize(n);
  return out;
}

Bytes32 Array32(std::string_view hex) {
  const std::string b = Unhex(hex);
  Bytes32 out{};
  EXPECT_EQ(b.size(), out.size());
  std::copy_n(b.begin(), std::min(b.size(), out.size()), out.begin());
  return out;
}

template <size_t N>
std::string ToHex(const std::array<uint8_t, N>& a) {
  return base::Hex(std::string_view(reinterpret_cast<const char*>(a.data()), a.size()));
}

std::vector<std::string> Split(const std::string& s) {
  std::vector<std::string> out;
  std::stringstream in(s);
  for (std::string part; std::getline(in, part, ',');) out.push_back(part);
  return out;
}

Seed TestSeed(uint8_t n) {
  Bytes32 b;
  b.fill(n);
  return Seed(b);
}

const base::Parallel kTwo(2);

// rfc9497_vectors.txt: "name = hex" lines, "mode N" before each mode, "vector N" before each
// vector; the values of appendix A.1.
TEST(Rfc9497, VectorsPass) {
  std::ifstream in(STILLWATCH_SOURCE_DIR "/src/share/psi/rfc9497_vectors.txt");
  ASSERT_TRUE(in.is_open());
  std::map<std::string, std::string> common, v;
  int vectors = 0;
  Mode mode = Mode::kOprf;
  const auto check = [&] {
    if (v.empty()) return;
    ++vectors;
    SCOPED_TRACE(StrCat("mode ", int(mode), " input ", v["Input"]));
    const auto key = DeriveKeyPair(mode, Array32(common["Seed"]), Unhex(common["KeyInfo"]));
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(ToHex(key->secret.bytes()), common["skSm"]);
    if (mode != Mode::kOprf) {
      EXPECT_EQ(ToHex(key->public_key), common["pkSm"]);
    }
    const std::string info = Unhex(v["Info"]);
    const auto inputs = Split(v["Input"]), blinds = Split(v["Blind"]);
    std::vector<Element> blinded;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto e = Blind(mode, Unhex(inputs[i]), Scalar(Array32(blinds[i])));
      ASSERT_TRUE(e.ok());
      EXPECT_EQ(ToHex(*e), Split(v["BlindedElement"])[i]);
      blinded.push_back(*e);
    }
    const Scalar r = mode == Mode::kOprf ? Scalar() : Scalar(Array32(v["ProofRandomScalar"]));
    const auto out = BlindEvaluate(mode, *key, info, blinded, r, kTwo);
    ASSERT_TRUE(out.ok());
    for (size_t i = 0; i < inputs.size(); ++i)
      EXPECT_EQ(ToHex(out->elements[i]), Split(v["EvaluationElement"])[i]);
    if (mode != Mode::kOprf) {
      EXPECT_EQ(ToHex(out->proof.c) + ToHex(out->proof.s), v["Proof"]);
    }
    EXPECT_TRUE(
        VerifyEvaluation(mode, key->public_key, info, blinded, out->elements, out->proof, kTwo)
            .ok());
    const auto k = EvaluationKey(mode, *key, info);
    ASSERT_TRUE(k.ok());
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto done = Finalize(mode, Unhex(inputs[i]), info, out->elements[i],
                                 Scalar(Array32(blinds[i])).Inverse());
      ASSERT_TRUE(done.ok());
      EXPECT_EQ(ToHex(*done), Split(v["Output"])[i]);
      const auto own = Evaluate(mode, *k, Unhex(inputs[i]), info);
      ASSERT_TRUE(own.ok());
      EXPECT_EQ(*own, *done);
    }
    v.clear();
  };
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("mode ")) {
      check();
      common.clear();
      mode = Mode(line[5] - '0');
    } else if (line == "vector") {
      check();
      v["Info"] = "";
    } else if (const size_t at = line.find(" = "); at != line.npos) {
      (v.empty() ? common : v)[line.substr(0, at)] = line.substr(at + 3);
    }
  }
  check();
  EXPECT_EQ(vectors, 8);
}

// RFC 9380, appendix K.3: expand_message_xmd with SHA-512, 32 and 128 bytes.
TEST(Rfc9380, ExpandMessage) {
  constexpr std::string_view kDst = "QUUX-V01-CS02-with-expander-SHA512-256";
  std::array<uint8_t, 32> out;
  ExpandMessageXmd("", kDst, out);
  EXPECT_EQ(ToHex(out), "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba");
  ExpandMessageXmd("abc", kDst, out);
  EXPECT_EQ(ToHex(out), "0da749f12fbe5483eb066a5f595055679b976e93abe9be6f0f6318bce7aca8dc");
  std::array<uint8_t, 128> longer;
  ExpandMessageXmd("abc", kDst, longer);
  EXPECT_EQ(ToHex(longer).substr(0, 32), "7f1dddd13c08b543f2e2037b14cefb25");
}

TEST(Proof, AnyChangeIsRefused) {
  const auto key = DeriveKeyPair(Mode::kPoprf, Bytes32{1}, "test");
  ASSERT_TRUE(key.ok());
  std::vector<Element> blinded;
  for (int i = 0; i < 5; ++i)
    blinded.push_back(*Blind(Mode::kPoprf, StrCat("item ", i), TestSeed(9).ScalarAt("b", i)));
  const auto good =
      BlindEvaluate(Mode::kPoprf, *key, "epoch 1", blinded, TestSeed(8).ScalarAt("r", 0), kTwo);
  ASSERT_TRUE(good.ok());
  const auto verify = [&](const Element& pk, std::string_view info, const std::vector<Element>& e,
                          const Proof& p) {
    return VerifyEvaluation(Mode::kPoprf, pk, info, blinded, e, p, kTwo).ok();
  };
  EXPECT_TRUE(verify(key->public_key, "epoch 1", good->elements, good->proof));
  EXPECT_FALSE(verify(key->public_key, "epoch 2", good->elements, good->proof));
  EXPECT_FALSE(verify(blinded[0], "epoch 1", good->elements, good->proof));
  EXPECT_FALSE(verify(kIdentity, "epoch 1", good->elements, good->proof));
  auto swapped = good->elements;
  std::swap(swapped[1], swapped[2]);
  EXPECT_FALSE(verify(key->public_key, "epoch 1", swapped, good->proof));
  auto other = good->elements;
  other[4] = blinded[4];
  EXPECT_FALSE(verify(key->public_key, "epoch 1", other, good->proof));
  other.pop_back();
  EXPECT_FALSE(verify(key->public_key, "epoch 1", other, good->proof));
  for (size_t i = 0; i < 64; ++i) {
    Proof bad = good->proof;
    (i < 32 ? bad.c : bad.s)[i % 32] ^= 1;
    EXPECT_FALSE(verify(key->public_key, "epoch 1", good->elements, bad));
  }
  // The same scalar, written another way (plus the order), is not canonical.
  Proof twice = good->proof;
  const Bytes32 order = Array32("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  int carry = 0;
  for (size_t i = 0; i < 32; ++i) {
    carry += twice.s[i] + order[i];
    twice.s[i] = uint8_t(carry);
    carry >>= 8;
  }
  EXPECT_FALSE(verify(key->public_key, "epoch 1", good->elements, twice));
}

// RFC 9496, appendix A.2: encodings that are not canonical, negative, or of no element.
TEST(Group, BadEncodingsAreRefused) {
  const char* kBad[] = {"00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "0100000000000000000000000000000000000000000000000000000000000000",
                        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                        "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
                        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
                        "0000000000000000000000000000000000000000000000000000000000000000"};
  const Seed seed = TestSeed(1);
  const auto key = DeriveKeyPair(Mode::kPoprf, Bytes32{1}, "test");
  for (const char* hex : kBad) {
    SCOPED_TRACE(hex);
    const Element bad = Array32(hex);
    EXPECT_FALSE(ValidElement(bad));
    Element out;
    EXPECT_FALSE(Multiply(seed.ScalarAt("k", 0), bad, &out));
    std::vector<Element> some = HashItems(std::vector<std::string>{"a", "b"}, kTwo);
    some.push_back(bad);
    std::sort(some.begin(), some.end());
    EXPECT_FALSE(CountReply(some, seed, kTwo).ok());
    EXPECT_FALSE(CountFinish(some, {}, seed, kTwo).ok());
    EXPECT_FALSE(WhichReply(some, *key, "e", "f", seed, kTwo).ok());
  }
}

TEST(Group, BatchInversion) {
  std::vector<Scalar> all;
  for (uint64_t i = 0; i < 300; ++i) all.push_back(TestSeed(3).ScalarAt("x", i));
  auto inverted = all;
  InvertAll(inverted);
  for (size_t i = 0; i < all.size(); ++i)
    EXPECT_EQ(inverted[i].bytes(), all[i].Inverse().bytes()) << i;
  InvertAll({});
}

std::vector<std::string> Inputs(std::string_view family, int from, int to) {
  std::vector<std::string> out;
  for (int i = from; i < to; ++i) out.push_back(HashInput(family, StrCat("value ", i)));
  return out;
}

TEST(Count, IsTheSizeOfTheIntersection) {
  for (const auto& [from, to] : {std::pair(0, 40), {30, 90}, {60, 61}, {60, 60}, {100, 200}}) {
    const auto mine = Inputs("payment", from, to), theirs = Inputs("payment", 50, 150);
    const auto request = CountRequest(HashItems(mine, kTwo), TestSeed(1), kTwo);
    ASSERT_TRUE(request.ok());
    const auto reply = CountReply(*request, TestSeed(2), kTwo);
    const auto tags = CountTags(HashItems(theirs, kTwo), TestSeed(2), kTwo);
    ASSERT_TRUE(reply.ok() && tags.ok());
    const auto common = CountFinish(*reply, *tags, TestSeed(1), kTwo);
    ASSERT_TRUE(common.ok());
    const std::set<std::string> a(mine.begin(), mine.end());
    uint64_t truth = 0;
    for (const auto& t : theirs) truth += a.count(t);
    EXPECT_EQ(*common, truth);
  }
}

TEST(Count, SaysNothingOfOrderAndTakesNoRepetition) {
  auto mine = Inputs("payment", 0, 50);
  const auto one = CountRequest(HashItems(mine, kTwo), TestSeed(1), kTwo);
  std::reverse(mine.begin(), mine.end());
  EXPECT_EQ(*one, *CountRequest(HashItems(mine, base::Parallel(1)), TestSeed(1), kTwo));
  EXPECT_NE(*one, *CountRequest(HashItems(mine, kTwo), TestSeed(2), kTwo));  // fresh secret
  EXPECT_TRUE(Ascending(*CountReply(*one, TestSeed(3), kTwo)));
  auto twice = *one;
  twice.push_back(twice.back());
  EXPECT_FALSE(CountReply(twice, TestSeed(3), kTwo).ok());
  mine.push_back(mine[0]);
  EXPECT_FALSE(CountRequest(HashItems(mine, kTwo), TestSeed(1), kTwo).ok());
}

TEST(Count, FamiliesDoNotMeet) {
  const auto request = CountRequest(HashItems(Inputs("mail", 0, 20), kTwo), TestSeed(1), kTwo);
  const auto reply = CountReply(*request, TestSeed(2), kTwo);
  const auto tags = CountTags(HashItems(Inputs("payment", 0, 20), kTwo), TestSeed(2), kTwo);
  EXPECT_EQ(*CountFinish(*reply, *tags, TestSeed(1), kTwo), 0u);
}

TEST(Which, FindsExactlyTheCommonItems) {
  const auto key = DeriveKeyPair(Mode::kPoprf, Bytes32{7}, "test");
  const auto mine = Inputs("payment", 40, 40 + int(kProofBatch) + 10);  // two proofs
  const auto theirs = Inputs("payment", 0, 60);
  const Seed seed = TestSeed(4);
  const auto request = WhichRequest("payment", mine, seed, kTwo);
  ASSERT_TRUE(request.ok());
  auto answer = WhichReply(*request, *key, "2026-11-16/P7D", "payment", TestSeed(5), kTwo);
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer->proofs.size(), 2u);
  const auto tags = WhichTags(theirs, *key, "2026-11-16/P7D", kTwo);
  ASSERT_TRUE(tags.ok());
  const auto finish = [&](const WhichAnswer& a, std::string_view epoch) {
    return WhichFinish("payment", mine, *request, a, *tags, key->public_key, epoch, seed, kTwo);
  };
  const auto found = finish(*answer, "2026-11-16/P7D");
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->size(), 20u);
  for (uint32_t i = 0; i < 20; ++i) EXPECT_EQ((*found)[i], i);
  // A key of another epoch, an answer of another key, a cut one.
  EXPECT_FALSE(finish(*answer, "2026-11-23/P7D").ok());
  std::swap(answer->proofs[0], answer->proofs[1]);
  EXPECT_FALSE(finish(*answer, "2026-11-16/P7D").ok());
  std::swap(answer->proofs[0], answer->proofs[1]);
  answer->proofs.pop_back();
  EXPECT_FALSE(finish(*answer, "2026-11-16/P7D").ok());
  auto doubled = *request;
  doubled[3] = doubled[4];
  EXPECT_FALSE(WhichReply(doubled, *key, "e", "payment", TestSeed(5), kTwo).ok());
}

TEST(Items, OneNormalForm) {
  const auto is = [](std::string_view family, std::string_view value, std::string_view expected) {
    const auto got = Normalise(family, value);
    ASSERT_TRUE(got.ok()) << family << " " << value << ": " << got.status();
    EXPECT_EQ(*got, expected);
    EXPECT_EQ(*Normalise(family, *got), expected);  // once is enough
  };
  is("address", " 192.0.2.7\t", "192.0.2.7");
  is("address", "::ffff:192.0.2.7", "192.0.2.7");
  is("address", "2001:DB8:0:0::7", "2001:db8::7");
  is("address", "192.0.2.77/24", "192.0.2.0/24");
  is("address", "192.0.2.7/32", "192.0.2.7");
  is("address", "2001:db8:1:2::/48", "2001:db8:1::/48");
  is("mail", "Ann.Other+promo@Example.ORG.", "ann.other@example.org");
  is("mail", "+x@example.org", "+x@example.org");
  is("mail-domain", "Example.org.", "example.org");
  is("card-range", "4242 4242", "42424242");
  is("card-range", "4242-42", "424242");
  is("payment", "A0B1C2D3E4F5A6B7", "a0b1c2d3e4f5a6b7");
  is("payment", "pm_Xy7", "pm_Xy7");
  is("account-id", "Acct 7 é", "Acct 7 é");
  for (const auto& [family, value] : {std::pair("address", "192.0.2"),
                                      {"address", "192.0.2.7/33"},
                                      {"address", "192.0.2.7/"},
                                      {"address", "host"},
                                      {"card-range", "4242424242424242"},
                                      {"card-range", "42424"},
                                      {"card-range", "4242x4"},
                                      {"mail", "example.net"},
                                      {"mail", "@example.net"},
                                      {"mail", "a@b c"},
                                      {"mail-domain", "a@b"},
                                      {"mail-domain", "."},
                                      {"mail-domain", "a.b.."},
                                      {"payment", " \t"},
                                      {"payment", "a\nb"},
                                      {"payment", "\xff"},
                                      {"payment", "\xed\xa0\x80"},
                                      {"colour", "red"}}) {
    const auto got = Normalise(family, value);
    EXPECT_FALSE(got.ok()) << family << " " << value;
    if (std::string_view(value).size() > 3) {
      EXPECT_EQ(std::string(got.status().message()).find(value), std::string::npos) << value;
    }
  }
  EXPECT_FALSE(Normalise("payment", std::string(kValueBytes + 1, 'a')).ok());
  EXPECT_NE(HashInput("mail", "a"), HashInput("mai", "la"));
  EXPECT_TRUE(std::is_sorted(Families().begin(), Families().end(),
                             [](const Family& a, const Family& b) { return a.name < b.name; }));
}

}  // namespace
}  // namespace stillwatch::share::psi
