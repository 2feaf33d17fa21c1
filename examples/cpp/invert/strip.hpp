// Pictures of one size side by side: the input, the first reconstruction, every step.
#pragma once

#include <hyperstyle_deploy/image.hpp>
#include <vector>

// A picture from planes of red, green and blue [3, height, width], about [-1, 1].
hyperstyle::Image picture(const float* planes, std::int64_t height, std::int64_t width);

// `pictures` are all of one size.
hyperstyle::Image strip(const std::vector<hyperstyle::Image>& pictures);
