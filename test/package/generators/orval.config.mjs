export default {
  api: {
    input: "./openapi.json",
    output: { target: "./orval/api.ts", client: "fetch", mode: "single", baseUrl: process.env.BASE_URL },
  },
};
