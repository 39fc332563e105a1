#include "share/psi/compare.h"

#include <sodium.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "base/str.h"

namespace stillwatch::share::psi {
namespace {

using base::StrCat;

constexpr std::string_view kCountDst =
    "stillwatch-compare-1-count-ristretto255_XMD:SHA-512_R255MAP";
constexpr size_t kGrain = 256;

Tag CountTag(const Element& e) {
  static constexpr unsigned char kName[16] = {'s', 'w', ' ', 'c', 'o', 'u', 'n', 't',
                                              ' ', 't', 'a', 'g', ' ', '1', 0,   0};
  Tag out;
  crypto_generichash_blake2b_salt_personal(out.data(), out.size(), e.data(), e.size(), nullptr, 0,
                                           nullptr, kName);
  return out;
}

Tag WhichTag(const Output& o) {
  Tag out;
  std::copy_n(o.begin(), out.size(), out.begin());
  return out;
}

absl::Status NotValid(int64_t i) {
  return absl::InvalidArgumentError(
      StrCat("element ", i, " is not an element of ristretto255 other than the identity"));
}

// First error of workers: the lowest index, so that it does not depend on how ranges fall.
class FirstError {
 public:
  void Set(size_t i) {
    size_t seen = at_.load();
    while (i < seen && !at_.compare_exchange_weak(seen, i)) {
    }
  }
  std::optional<size_t> Get() const {
    const size_t i = at_.load();
    return i == SIZE_MAX ? std::nullopt : std::optional(i);
  }

 private:
  std::atomic<size_t> at_{SIZE_MAX};
};

template <typename T>
bool StrictlyAscending(std::span<const T> all) {
  for (size_t i = 1; i < all.size(); ++i) {
    if (all[i] <= all[i - 1]) return false;
  }
  return true;
}

std::vector<Tag> Sorted(std::vector<Tag> tags) {
  std::sort(tags.begin(), tags.end());
  return tags;
}

absl::Status Repeated(std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat(what, " are not strictly ascending: one is there twice, or they are out of order"));
}

}  // namespace

bool Ascending(std::span<const Element> elements) { return StrictlyAscending(elements); }
bool Ascending(std::span<const Tag> tags) { return StrictlyAscending(tags); }

std::vector<Element> HashItems(std::span<const std::string> inputs,
                               const base::Parallel& parallel) {
  std::vector<Element> out(inputs.size());
  parallel.For(inputs.size(), kGrain, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) out[i] = HashToGroup(inputs[i], kCountDst);
  });
  return out;
}

absl::StatusOr<std::vector<Element>> CountRequest(std::vector<Element> hashed, const Seed& seed,
                                                  const base::Parallel& parallel) {
  const int64_t bad = MultiplyAll(seed.ScalarAt("ask", 0), hashed, parallel);
  if (bad >= 0) return NotValid(bad);
  std::sort(hashed.begin(), hashed.end());
  if (!Ascending(hashed)) return Repeated("own items");
  return hashed;
}

absl::StatusOr<std::vector<Element>> CountReply(std::vector<Element> blinded, const Seed& seed,
                                                const base::Parallel& parallel) {
  if (!Ascending(blinded)) return Repeated("the elements");
  const int64_t bad = MultiplyAll(seed.ScalarAt("answer", 0), blinded, parallel);
  if (bad >= 0) return NotValid(bad);
  std::sort(blinded.begin(), blinded.end());
  return blinded;
}

absl::StatusOr<std::vector<Tag>> CountTags(std::vector<Element> hashed, const Seed& seed,
                                           const base::Parallel& parallel) {
  const int64_t bad = MultiplyAll(seed.ScalarAt("answer", 0), hashed, parallel);
  if (bad >= 0) return NotValid(bad);
  std::vector<Tag> tags(hashed.size());
  for (size_t i = 0; i < hashed.size(); ++i) tags[i] = CountTag(hashed[i]);
  return Sorted(std::move(tags));
}

absl::StatusOr<uint64_t> CountFinish(std::vector<Element> replied, std::span<const Tag> tags,
                                     const Seed& seed, const base::Parallel& parallel) {
  if (!Ascending(replied)) return Repeated("the elements");
  if (!Ascending(tags)) return Repeated("the tags");
  const int64_t bad = MultiplyAll(seed.ScalarAt("ask", 0).Inverse(), replied, parallel);
  if (bad >= 0) return NotValid(bad);
  uint64_t common = 0;
  for (const Element& e : replied)
    common += std::binary_search(tags.begin(), tags.end(), CountTag(e)) ? 1 : 0;
  return common;
}

absl::StatusOr<std::vector<Element>> WhichRequest(std::string_view family,
                                                  std::span<const std::string> inputs,
                                                  const Seed& seed,
                                                  const base::Parallel& parallel) {
  std::vector<Element> out(inputs.size());
  FirstError error;
  parallel.For(inputs.size(), kGrain, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      auto e = Blind(Mode::kPoprf, inputs[i], seed.ScalarAt(family, i));
      if (e.ok())
        out[i] = *e;
      else
        error.Set(i);
    }
  });
  if (error.Get()) return NotValid(int64_t(*error.Get()));
  return out;
}

absl::StatusOr<WhichAnswer> WhichReply(std::span<const Element> blinded, const KeyPair& key,
                                       std::string_view epoch, std::string_view family,
                                       const Seed& seed, const base::Parallel& parallel) {
  // The same element twice would be the same item twice, or an attempt to spend the ration oddly.
  std::vector<Element> copy(blinded.begin(), blinded.end());
  std::sort(copy.begin(), copy.end());
  if (!Ascending(copy)) return absl::InvalidArgumentError("an element is there twice");
  WhichAnswer out;
  const std::string name = StrCat("proof ", family);
  for (size_t at = 0; at < blinded.size(); at += kProofBatch) {
    auto part = BlindEvaluate(Mode::kPoprf, key, epoch,
                              blinded.subspan(at, std::min(kProofBatch, blinded.size() - at)),
                              seed.ScalarAt(name, at), parallel);
    if (!part.ok()) return part.status();
    out.evaluated.insert(out.evaluated.end(), part->elements.begin(), part->elements.end());
    out.proofs.push_back(part->proof);
  }
  return out;
}

absl::StatusOr<std::vector<Tag>> WhichTags(std::span<const std::string> inputs, const KeyPair& key,
                                           std::string_view epoch, const base::Parallel& parallel) {
  auto k = EvaluationKey(Mode::kPoprf, key, epoch);
  if (!k.ok()) return k.status();
  std::vector<Tag> tags(inputs.size());
  FirstError error;
  parallel.For(inputs.size(), kGrain, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      auto out = Evaluate(Mode::kPoprf, *k, inputs[i], epoch);
      if (out.ok())
        tags[i] = WhichTag(*out);
      else
        error.Set(i);
    }
  });
  if (error.Get()) return NotValid(int64_t(*error.Get()));
  return Sorted(std::move(tags));
}

absl::StatusOr<std::vector<uint32_t>> WhichFinish(
    std::string_view family, std::span<const std::string> inputs, std::span<const Element> blinded,
    const WhichAnswer& answer, std::span<const Tag> tags, const Element& public_key,
    std::string_view epoch, const Seed& seed, const base::Parallel& parallel) {
  const size_t n = inputs.size();
  if (blinded.size() != n || answer.evaluated.size() != n ||
      answer.proofs.size() != (n + kProofBatch - 1) / kProofBatch)
    return absl::InvalidArgumentError(
        "as many elements and proofs come back as were asked for: not so here");
  if (!Ascending(tags)) return Repeated("the tags");
  const std::span<const Element> evaluated(answer.evaluated);
  for (size_t at = 0; at < n; at += kProofBatch) {
    const size_t count = std::min(kProofBatch, n - at);
    const absl::Status s =
        VerifyEvaluation(Mode::kPoprf, public_key, epoch, blinded.subspan(at, count),
                         evaluated.subspan(at, count), answer.proofs[at / kProofBatch], parallel);
    if (!s.ok()) return s;
  }
  std::vector<Scalar> blinds(n);
  parallel.For(n, kGrain, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) blinds[i] = seed.ScalarAt(family, i);
    InvertAll(std::span(blinds).subspan(begin, end - begin));
  });
  std::vector<uint8_t> found(n, 0);
  FirstError error;
  parallel.For(n, kGrain, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) {
      auto out = Finalize(Mode::kPoprf, inputs[i], epoch, evaluated[i], blinds[i]);
      if (out.ok())
        found[i] = std::binary_search(tags.begin(), tags.end(), WhichTag(*out)) ? 1 : 0;
      else
        error.Set(i);
    }
  });
  if (error.Get()) return NotValid(int64_t(*error.Get()));
  std::vector<uint32_t> out;
  for (size_t i = 0; i < n; ++i) {
    if (found[i]) out.push_back(uint32_t(i));
  }
  return out;
}

}  // namespace stillwatch::share::psi
