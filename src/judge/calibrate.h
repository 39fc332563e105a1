// From bits to the probability that is stated: how often candidates with as many bits of odds and
// of purpose were harvests in labelled worlds (tools/calibrate). Pure.
#pragma once

#include "judge/facts.h"
#include "judge/weigh.h"

namespace stillwatch::judge {

// Restates the probability of distillation, the others in proportion. Statements are weighed as if
// they were independent, and purpose is capped against a shared tool: the sum is too sure of
// itself, and too sure of innocence where there is little traffic. Accusations stay what they are,
// and so does their probability: of what passed every gate nothing in the development worlds was
// innocent. A verdict that distillation outweighs becomes `unresolved`, unless
// it is openly one customer.
void Calibrate(Formed formed, Weighed* weighed);

}  // namespace stillwatch::judge
