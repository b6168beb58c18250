// embed.c in C++: handles that destroy themselves, failures as exceptions: embed-cpp MODEL_DIR IMAGE
//
//     c++ -std=c++17 embed.cpp $(pkg-config --cflags --libs dino-vk) -o embed-cpp
#include <dino_vk.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

// A handle of the library. Members and locals are destroyed in the reverse order of their declaration, which is the
// order that the library asks for: sessions, then models, then contexts.
template <typename Handle, void (*destroy)(Handle **)> struct Destroy {
    void operator()(Handle *handle) const { destroy(&handle); }
};
using Context = std::unique_ptr<dvk_context, Destroy<dvk_context, dvk_context_destroy>>;
using Model = std::unique_ptr<dvk_model, Destroy<dvk_model, dvk_model_destroy>>;
using Session = std::unique_ptr<dvk_session, Destroy<dvk_session, dvk_session_destroy>>;

// Calls a function of the library that takes a dvk_error last, and throws what it says.
template <typename Function, typename... Arguments> void call(Function function, Arguments... arguments) {
    dvk_error error;
    if (function(arguments..., &error) != DVK_OK)
        throw std::runtime_error(error.message);
}

class Embedder {
  public:
    explicit Embedder(const std::string &path) {
        dvk_context *context = nullptr;
        call(dvk_context_create, nullptr, &context);
        context_.reset(context);
        dvk_model_params params{};
        params.path = path.c_str();
        dvk_model *model = nullptr;
        call(dvk_model_load, context, &params, &model);
        model_.reset(model);
    }

    std::vector<float> embed(const dvk_image &image) const {
        dvk_session_params size{};
        dvk_preprocess_size(model_.get(), nullptr, &image, &size.width, &size.height);
        dvk_session *created = nullptr;
        call(dvk_session_create, model_.get(), &size, &created);
        const Session session(created);
        std::vector<float> pixels(std::size_t{3} * size.width * size.height);
        std::vector<float> cls(dvk_model_get_info(model_.get())->hidden_size);
        call(dvk_preprocess, model_.get(), nullptr, &image, pixels.data(), nullptr);
        call(dvk_session_run, session.get(), pixels.data(), 1u);
        call(dvk_session_read, session.get(), DVK_OUTPUT_CLS, 0u, cls.data(), cls.size());
        return cls;
    }

  private:
    Context context_;
    Model model_;
};

void print_embedding(const std::string &model, const std::string &path) {
    dvk_image image{};
    call(dvk_image_load, path.c_str(), nullptr, &image);
    const std::unique_ptr<dvk_image, void (*)(dvk_image *)> owner(&image, dvk_image_free);
    for (const float value : Embedder(model).embed(image))
        std::printf("%.6g\n", static_cast<double>(value));
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: embed-cpp MODEL_DIR IMAGE\n");
        return 1;
    }
    try {
        print_embedding(argv[1], argv[2]);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "embed-cpp: %s\n", error.what());
        return 1;
    }
    return 0;
}
