// From facts to a verdict: likelihood ratios in bits, rival explanations scored on the same
// evidence, gates that no sum can jump. Pure functions of Facts; docs/DETECTION.md explains each
// weight.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "judge/facts.h"
#include "model/campaign.h"

namespace stillwatch::judge {

// Gates of the verdict `distillation`.
inline constexpr double kAccuseProbability = .95;
inline constexpr int kCoordinationFamiliesMin = 2;
inline constexpr double kFamilyBitsMin = 1.5;  // a family counts from here on
inline constexpr double kPurposeBitsMin = 4;
inline constexpr double kCompanyMin = .67;  // most of a group, without those in it by chance
inline constexpr double kDedicatedMin = .15;  // of the accounts' work: less is a small part of it
inline constexpr double kErrorRate = .01;  // expected share of false ones among the accused

struct Weighed {
  std::vector<model::Evidence> evidence;  // statement, null, bits; queries and ids come later
  std::array<double, model::kVerdicts> probability{};
  double odds_bits = 0;         // of distillation against all rivals together
  int families = 0;             // of coordination, each of at least kFamilyBitsMin
  double independent_bits = 0;  // of families that did not form the candidate
  double heard_bits = 0;        // of others' rhythm in one's own log (judge/prior.h)
  double own_probability = 0;   // of distillation without what others say; Judge says so
  double purpose_bits = 0;
  bool overt = false;  // openly one customer
  std::string overt_why;
  bool crowd = false;  // few items, many people
  model::Verdict verdict = model::Verdict::kUnresolved;
  std::string would_change;
  bool rests_on_imports = false;  // accused, and not without Facts::prior; Judge says so
};

// Probabilities and evidence; the verdict as far as one candidate alone can have it.
Weighed Weigh(const Facts& facts, Formed formed);

// e-BH (Wang and Ramdas 2022) over all candidates of a review: which of them may be accused so
// that at most `rate` of the accused are expected to be false, under any dependence. An e-value
// is the likelihood ratio of the evidence that did not form the candidate.
std::vector<bool> SelectByEBH(const std::vector<double>& log2_e_values, double rate);

}  // namespace stillwatch::judge
