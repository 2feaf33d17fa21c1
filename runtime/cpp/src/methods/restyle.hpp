// ReStyle (Alaluf et al., 2021) over pSp or e4e: an encoder that corrects its own codes.
#ifndef HYPERSTYLE_DEPLOY_RESTYLE_HPP
#define HYPERSTYLE_DEPLOY_RESTYLE_HPP

#include "method.hpp"

namespace hyperstyle {

// codes = the average code; a step: codes += encoder(x, y).
class ReStyle : public Method {
 public:
  using Method::Method;

  std::vector<Signature> graphs() const override;
  std::vector<TensorSpec> constants() const override;
  std::vector<State> start(Backend& backend, const Array& photos) const override;
  std::vector<State> advance(Backend& backend, const Array& photos, const Array& reconstructions,
                             const std::vector<State>& states) const override;
};

// Where an encoder that loops in front of something else starts, and the graph of the generator that it looks at.
std::string average_of(const std::string& encoder);
std::string synthesis_of(const std::string& encoder);
// Each photo's codes from an encoder in front of something else: in one pass, or a ReStyle encoder's in so many steps.
std::vector<State> encoded(Backend& backend, const Array& photos, std::int64_t steps,
                           const std::string& encoder = "encoder");

}  // namespace hyperstyle

#endif
