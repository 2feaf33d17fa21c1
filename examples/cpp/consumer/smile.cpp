// Invert a photo, make the person smile, write the picture: smile BUNDLE PHOTO OUT.png
#include <hyperstyle_deploy/runtime.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) return 1;
  try {
    const hyperstyle::Session session(hyperstyle::Bundle::open(argv[1]));
    const hyperstyle::Image photo = hyperstyle::read_photo(argv[2]);
    const hyperstyle::Inversion inversion = session.invert(photo.view());
    std::cout << session.method() << ", " << inversion.steps << " steps";
    if (!inversion.l2.empty()) std::cout << ", L2 " << inversion.l2.back();
    std::cout << "\n";
    inversion.save(std::string(argv[3]) + ".inversion");
    const hyperstyle::Edit smiling{{"smile", 2.5}};  // a direction that the bundle carries, and its strength
    hyperstyle::write_png(argv[3], session.edit(inversion, {smiling})[0].view());
  } catch (const hyperstyle::Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
