// The interface between the methods and what computes: named graphs, and the little arithmetic between them.
#ifndef HYPERSTYLE_DEPLOY_BACKEND_HPP
#define HYPERSTYLE_DEPLOY_BACKEND_HPP

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../array.hpp"
#include "hyperstyle_deploy/session.hpp"

namespace hyperstyle {

class Method;

// A variable that Adam moves: its name and value, the gradient there, and the two moments.
struct Variable {
  std::string name;
  Array value, gradient, first, second;
};

// Runs the graphs of one bundle, and the little arithmetic between them. Safe to share between threads; arrays stay
// where the backend keeps them and are never written again. Every function throws BackendError if it cannot run.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const std::string& name() const = 0;
  // Run a graph on named arrays; its outputs by name. Inputs that are not given are the bundle's constants of that
  // name.
  virtual Arrays run(const std::string& graph, const Arrays& inputs) = 0;
  // One of the bundle's constants. Throws BackendError if it has none of that name.
  virtual const Array& constant(const std::string& name) const = 0;
  // The loop's L2, one value a photo; [B] float64.
  virtual Array squared_error(const Array& left, const Array& right) = 0;
  // Images [N, 3, height, width] about [-1, 1] to [N, height, width, 3] uint8.
  virtual Array pixels(const Array& image) = 0;
  // Elementwise sum; batches joined along the first axis.
  virtual Array add(const Array& left, const Array& right) = 0;
  virtual Array concatenate(const std::vector<Array>& rows) = 0;
  // An update by Adam: first = 0.9 first + 0.1 g, second = 0.999 second + 0.001 g^2, and the value less
  // rates[0] first / (sqrt(second) + rates[1]). The value comes in new memory, the moments may come in their own.
  virtual Variable adam(const Variable& variable, const Array& rates) = 0;
  // Between the host and where the backend keeps its arrays.
  virtual Array upload(const Array& host) = 0;
  virtual Array download(const Array& array) = 0;
  // Do `work` on named arrays. `work` calls nothing but this backend, and where the backend `replays`, what it calls
  // depends on `name` and the inputs' names and shapes alone: it is recorded once for each of them, and replayed on the
  // inputs of later calls.
  using Work = std::function<Arrays(const Arrays&)>;
  virtual Arrays replay(const std::string& name, const Work& work, const Arrays& inputs) = 0;
  virtual bool replays() const = 0;
};

// Load the graphs that a method needs of a bundle into the backend that `options` name. Throws BackendError,
// EngineError and BundleError.
std::unique_ptr<Backend> open_backend(const Bundle& bundle, const Method& method, const Options& options);

}  // namespace hyperstyle

#endif
