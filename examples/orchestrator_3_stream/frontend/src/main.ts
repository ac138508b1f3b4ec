import "./style/base.css";
import "./style/parts.css";
import "./style/sign-in.css";
import "./style/errors.css";
import "./style/home.css";

import { createPinia } from "pinia";
import { createApp } from "vue";
import { createWebHistory } from "vue-router";

import App from "./App.vue";
import { createAppRouter } from "./router";
import { betterAddress } from "./services/hostName";
import { settings } from "./services/settings";

const better = betterAddress(window.location.href, settings.authUrl);
if (better) {
  window.location.replace(better);
} else {
  createApp(App).use(createPinia()).use(createAppRouter(createWebHistory())).mount("#app");
}
