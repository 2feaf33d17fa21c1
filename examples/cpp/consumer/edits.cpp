// Smiles, somebody mixed in, and who is half-way between the two: edits BUNDLE ME.inversion YOU.inversion OUT
#include <hyperstyle_deploy/runtime.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 5) return 1;
  try {
    const hyperstyle::Session session(hyperstyle::Bundle::open(argv[1]));
    const hyperstyle::Inversion me = hyperstyle::Inversion::load(argv[2]), you = hyperstyle::Inversion::load(argv[3]);
    std::vector<hyperstyle::Edit> edits;
    for (const double strength : {-3.0, 0.0, 3.0}) edits.push_back({{"smile", strength}, {"age", 2.0}});
    edits.push_back({{hyperstyle::Mix{you, 0, 4}, 1.0}});  // rows 0 to 3 of your codes
    std::vector<hyperstyle::Image> pictures = session.edit(me, edits);  // drawn together, with my weights
    pictures.push_back(session.between(me, you, 0.5));
    for (std::size_t at = 0; at < pictures.size(); ++at) {
      hyperstyle::write_png(argv[4] + std::to_string(at) + ".png", pictures[at].view());
    }
  } catch (const hyperstyle::Error& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
