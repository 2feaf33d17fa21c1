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

// The same codes for every photo: the constant of that name.
std::vector<State> averaged(Backend& backend, const Array& photos, const std::string& name);
// One step of a ReStyle encoder: every photo's codes, and what it adds to them.
std::vector<State> look_back(Backend& backend, const Array& photos, const Array& reconstructions,
                             std::vector<State> states);

}  // namespace hyperstyle

#endif
