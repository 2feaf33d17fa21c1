// The interface between the refinement loop and what computes: stages, and the little arithmetic between them.
#ifndef HYPERSTYLE_DEPLOY_BACKEND_HPP
#define HYPERSTYLE_DEPLOY_BACKEND_HPP

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../array.hpp"
#include "hyperstyle_deploy/session.hpp"

namespace hyperstyle {

// Tuned weights and energies of one photo, or the generator's own, under the names that `synthesis` takes.
using Weights = Arrays;

// What recorded work depends on: batch size and number of steps.
using WorkKey = std::pair<std::int64_t, int>;

// Runs the stages of one bundle. Safe to share between threads; arrays are float32, batch first, where the backend
// keeps them. Every function throws BackendError if the stage cannot run.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const std::string& name() const = 0;
  // The generator's own weights, what the loop starts from.
  virtual const Weights& untuned() const = 0;
  // Photos [B, 3, H, W] in [-1, 1] to codes [B, styles, 512].
  virtual Array encode(const Array& image) = 0;
  // Photos and reconstructions [B, 3, H, W] to one step's offset codes [B, tuned, 512].
  virtual Array predict(const Array& image, const Array& reconstruction) = 0;
  // One photo's kept offset codes [K, tuned, 512] over `steps` >= 1 steps to its tuned weights; K is 1 where the codes
  // are summed, `steps` where each step's are kept.
  virtual Weights tune(const Array& offset_codes, int steps) = 0;
  // Codes [N, styles, 512] to images [N, 3, height, width] and reconstructions [N, 3, H, W].
  virtual std::pair<Array, Array> synthesize(const Array& codes, const Weights& weights) = 0;
  // The paper's L2, one value a photo; [B] float64.
  virtual Array squared_error(const Array& left, const Array& right) = 0;
  // Images [N, 3, height, width] about [-1, 1] to [N, height, width, 3] uint8.
  virtual Array pixels(const Array& image) = 0;
  // Elementwise sum; batches joined along the first axis.
  virtual Array add(const Array& left, const Array& right) = 0;
  virtual Array concatenate(const std::vector<Array>& rows) = 0;
  // Between the host and where the backend keeps its arrays.
  virtual Array upload(const Array& host) = 0;
  virtual Array download(const Array& array) = 0;
  // Upload an array, do `work` on it, download what it returns. `work` calls nothing but this backend, and what it
  // calls depends on `key` alone: a backend that can record work does it once a key and replays it.
  using Work = std::function<std::vector<Array>(const Array&)>;
  virtual std::vector<Array> compute(const WorkKey& key, const Work& work, const Array& host) = 0;
};

// Load a bundle's graphs into the backend that `options` name. Throws BackendError, EngineError and BundleError.
std::unique_ptr<Backend> open_backend(const Bundle& bundle, const Options& options);

}  // namespace hyperstyle

#endif
